"""Frames through a frozen network.

Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from featurize.encoder.compiled import compile_blocks, passes
from featurize.encoder.errors import FramesError
from featurize.encoder.spec import EncoderSpec


class FrozenEncoder:
    """An encoder that is only ever read: eval mode, no gradients, one latent per frame and frame by frame.

    On a GPU its blocks are compiled, `encode` only queues work, and copies to and fro run beside it.
    """

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
        # With its index: other threads may have another current device.
        device = torch.empty(0, device=device).device
        self.device, self.dtype = device, dtype
        self._network = network.to(device).requires_grad_(False).eval()
        self._mean_C11 = torch.tensor(spec.mean_rgb, device=device).reshape(3, 1, 1)
        self._std_C11 = torch.tensor(spec.std_rgb, device=device).reshape(3, 1, 1)
        self._is_compiled = device.type == "cuda"
        self._uploads, self._results = _stream(device), _stream(device)
        if self._is_compiled:
            compile_blocks(self._network)

    @torch.inference_mode()
    def encode(self, frames_FCHW: torch.Tensor) -> torch.Tensor:
        """Encode RGB frames, each by itself: what is in one frame reaches no other frame's latent.

        Args:
            frames_FCHW: float32 (F, 3, image_size_px, image_size_px), values 0 to 255, any device, F > 0.

        Returns:
            float32 (F, N, D) on the encoder's device, layer-normed over channels without affine
            (`normalize_reps` of app/vjepa_droid/train.py upstream, eps 1e-5). On a GPU they may not be
            computed yet.

        Raises:
            FramesError: another shape or dtype.

        Another batch size may change the last bits of a latent, since matrix products are cut up differently:
        float32 latents agree to 1e-5, with values of unit variance.
        """
        self._check(frames_FCHW)
        images_FCHW = (frames_FCHW.to(self.device) - self._mean_C11) / self._std_C11
        tokens_FND = self._tokens(images_FCHW.to(self.dtype))
        return F.layer_norm(tokens_FND, (self.spec.width,))

    def upload(self, frames_FCHW: torch.Tensor) -> torch.Tensor:
        """The frames on the encoder's device; waits for the copy, which holds up no encoding there."""
        if self._uploads is None:
            return frames_FCHW.to(self.device)
        with torch.cuda.stream(self._uploads):
            uploaded_FCHW = frames_FCHW.to(self.device)
        # They belong to the stream of uploads, and `encode` reads them on the default one.
        uploaded_FCHW.record_stream(torch.cuda.default_stream(self.device))
        return uploaded_FCHW

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Work on latents that `encode` gave, in another thread: a wait in here holds up no encoding."""
        if self._results is None:
            yield
            return
        self._results.wait_stream(torch.cuda.default_stream(self.device))
        with torch.cuda.stream(self._results):
            yield

    def _tokens(self, images_FCHW: torch.Tensor) -> torch.Tensor:
        if not self._is_compiled:
            return self._network(images_FCHW)  # type: ignore[no-any-return]
        num_frames, sizes = len(images_FCHW), passes(len(images_FCHW))
        padded_FCHW = F.pad(images_FCHW, (0, 0, 0, 0, 0, 0, 0, sum(sizes) - num_frames))
        return torch.cat([self._network(part) for part in torch.split(padded_FCHW, sizes)])[:num_frames]

    def _check(self, frames_FCHW: torch.Tensor) -> None:
        expected = (3, self.spec.image_size_px, self.spec.image_size_px)
        shape, dtype = tuple(frames_FCHW.shape), frames_FCHW.dtype
        if dtype != torch.float32 or len(shape) != 4 or shape[0] == 0 or shape[1:] != expected:
            raise FramesError(
                f"{self.spec.name} takes float32 frames (F, {', '.join(map(str, expected))}) with F of 1 or "
                f"more and values 0 to 255; got {dtype} of shape {shape}. Crop and resize the frames first."
            )


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    """A queue of work beside the encoder's own; None where there is no such thing."""
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
