"""Frames through a frozen network.

Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

import torch
import torch.nn.functional as F
from torch import nn

from featurize.encoder.errors import FramesError
from featurize.encoder.spec import EncoderSpec


class FrozenEncoder:
    """An encoder that is only ever read: eval mode, no gradients, one latent per frame and frame by frame."""

    spec: EncoderSpec
    weights_sha256: str
    """See `featurize.encoder.weights.weights_sha256`."""
    attention: str
    """What computes attention: 'sdpa', 'xformers', or 'timm' for whatever that model brings."""
    device: torch.device
    dtype: torch.dtype
    """What the network computes in; frames and latents are float32 always."""

    def __init__(
        self,
        network: nn.Module,
        spec: EncoderSpec,
        *,
        weights_sha256: str,
        attention: str,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.spec, self.weights_sha256, self.attention = spec, weights_sha256, attention
        self.device, self.dtype = device, dtype
        self._network = network.to(device).requires_grad_(False).eval()
        self._mean_C11 = torch.tensor(spec.mean_rgb, device=device).reshape(3, 1, 1)
        self._std_C11 = torch.tensor(spec.std_rgb, device=device).reshape(3, 1, 1)

    @torch.inference_mode()
    def encode(self, frames_FCHW: torch.Tensor) -> torch.Tensor:
        """Encode RGB frames, each by itself: what is in one frame reaches no other frame's latent.

        Args:
            frames_FCHW: float32 (F, 3, image_size_px, image_size_px), values 0 to 255, any device, F > 0.

        Returns:
            float32 (F, N, D) on the encoder's device, layer-normed over channels without affine
            (`normalize_reps` of app/vjepa_droid/train.py upstream, eps 1e-5).

        Raises:
            FramesError: another shape or dtype.

        Another batch size may change the last bits of a latent, since matrix products are cut up differently:
        float32 latents agree to 1e-5, with values of unit variance.
        """
        self._check(frames_FCHW)
        images_FCHW = (frames_FCHW.to(self.device, non_blocking=True) - self._mean_C11) / self._std_C11
        tokens_FND = self._network(images_FCHW.to(self.dtype))
        return F.layer_norm(tokens_FND, (self.spec.width,))

    def _check(self, frames_FCHW: torch.Tensor) -> None:
        expected = (3, self.spec.image_size_px, self.spec.image_size_px)
        shape, dtype = tuple(frames_FCHW.shape), frames_FCHW.dtype
        if dtype != torch.float32 or len(shape) != 4 or shape[0] == 0 or shape[1:] != expected:
            raise FramesError(
                f"{self.spec.name} takes float32 frames (F, {', '.join(map(str, expected))}) with F of 1 or "
                f"more and values 0 to 255; got {dtype} of shape {shape}. Crop and resize the frames first."
            )
