"""From a picture of the world to the latent that a store would hold of it.

Legend: F frames, C colours, H W pixels, N tokens per frame, D encoder width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurize.crop import CropPolicy, draw_box, resize
from featurize.encoder.registry import FrozenEncoder, load_encoder
from store_schema.attributes import Fingerprint
from store_schema.errors import FingerprintMismatchError

Picture = NDArray[np.uint8]
"""(H, W, 3), RGB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """The frozen encoder of a store, and the crop of its pictures: always the centred box.

    A store with random crops holds that box among others.
    """

    encoder: FrozenEncoder

    @classmethod
    def of(
        cls,
        fingerprint: Fingerprint,
        *,
        weights: Path | None = None,
        checkpoint_key: str | None = None,
        device: torch.device,
    ) -> Self:
        """The encoder that a store with this fingerprint was made with.

        weights: its file, where it is not found by name. checkpoint_key: as in the store's recipe.
        Raises FingerprintMismatchError for other weights, and what `load_encoder` raises.
        """
        made = fingerprint.encoder
        encoder = load_encoder(
            made.name,
            weights=weights,
            checkpoint_key=checkpoint_key,
            device=device,
            dtype=getattr(torch, made.compute_dtype),
        )
        if encoder.weights_sha256 != made.weights_sha256:
            raise FingerprintMismatchError(
                f"The store was encoded by {made.name} with weights {made.weights_sha256}, found are "
                f"{encoder.weights_sha256}. Give the file that it was encoded with as --weights."
            )
        return cls(encoder=encoder)

    def latents(self, pictures: Sequence[Picture]) -> Tensor:
        """Latents (F, N, D), float32, of pictures (H, W, 3) of one size, on the encoder's device."""
        height_px, width_px = pictures[0].shape[:2]
        box = draw_box(CropPolicy.OFFICIAL, height_px, width_px, np.random.default_rng(0))
        boxed_FHWC = torch.from_numpy(np.stack([picture[box.slices] for picture in pictures]))
        return self.encoder.encode(resize(boxed_FHWC, self.encoder.spec.image_size_px))
