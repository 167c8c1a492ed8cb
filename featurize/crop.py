"""The crop of a trajectory: one box, drawn once, cut out of every frame and resized to a square.

Shape suffixes: F frames, H height, W width, C colours, S image size.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch.nn.functional import interpolate

RANDOM_AREA_SHARE = (0.3, 1.0)
RANDOM_ASPECT_RATIO = (3 / 4, 4 / 3)
OFFICIAL_ASPECT_RATIO = (0.75, 1.35)
MAX_TRIES = 10
RESIZE_RULE = "bilinear, half-pixel centres, no antialias"


class CropPolicy(StrEnum):
    """How the box of a trajectory is chosen.

    `random` is the random-resized-crop of the V-JEPA 2-AC paper: 30 to 100 % of the area, aspect ratio (width
    over height) from 3/4 to 4/3. `official` is what the published configuration does: it asks for 1.777 times
    the frame's area at a ratio from 0.75 to 1.35, which never fits, and so always ends at the fallback, the
    largest centred box within these ratios: 972 x 720 of 1280 x 720.
    """

    RANDOM = "random"
    OFFICIAL = "official"


@dataclass(frozen=True, kw_only=True)
class CropBox:
    """A box in pixels of the source frame: rows [top, top + height), columns [left, left + width)."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and its columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def draw_box(policy: CropPolicy, height_px: int, width_px: int, rng: np.random.Generator) -> CropBox:
    """A box inside a frame of `height_px` x `width_px`. `official` draws nothing from `rng`."""
    if policy is CropPolicy.OFFICIAL:
        return _centre_box(height_px, width_px, OFFICIAL_ASPECT_RATIO)
    for _ in range(MAX_TRIES):
        height, width = _draw_size(height_px * width_px, rng)
        if 0 < height <= height_px and 0 < width <= width_px:
            top = int(rng.integers(height_px - height + 1))
            left = int(rng.integers(width_px - width + 1))
            return CropBox(top=top, left=left, height=height, width=width)
    return _centre_box(height_px, width_px, RANDOM_ASPECT_RATIO)


def resize(boxed_FHWC: torch.Tensor, image_size: int) -> torch.Tensor:
    """Resize uint8 frames: float32 (F, C, S, S) in 0..255, on the frames' device.

    Bilinear, half-pixel centres, no antialias, as the reference's `random_resized_crop` (vjepa2,
    src/datasets/utils/video/transforms.py); a box that is not square is squashed. Frame by frame, so that
    memory does not grow with a float copy of all source frames.
    """
    assert boxed_FHWC.dtype == torch.uint8, boxed_FHWC.dtype
    num_frames, _, _, num_colours = boxed_FHWC.shape
    resized_FCSS = torch.empty((num_frames, num_colours, image_size, image_size), device=boxed_FHWC.device)
    for frame_HWC, resized_CSS in zip(boxed_FHWC, resized_FCSS, strict=True):
        frame_1CHW = frame_HWC.permute(2, 0, 1)[None].float()
        resized_CSS.copy_(interpolate(frame_1CHW, (image_size, image_size), mode="bilinear")[0])
    return resized_FCSS


def _draw_size(area_px: int, rng: np.random.Generator) -> tuple[int, int]:
    """Height and width of one try: area uniform, aspect ratio log-uniform."""
    area = area_px * rng.uniform(*RANDOM_AREA_SHARE)
    narrowest, widest = RANDOM_ASPECT_RATIO
    ratio = math.exp(rng.uniform(math.log(narrowest), math.log(widest)))
    return round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))


def _centre_box(height_px: int, width_px: int, aspect_ratio: tuple[float, float]) -> CropBox:
    """The largest centred box whose ratio lies in the closed interval `aspect_ratio`."""
    narrowest, widest = aspect_ratio
    height, width = height_px, width_px
    if width_px / height_px < narrowest:
        height = round(width_px / narrowest)
    elif width_px / height_px > widest:
        width = round(height_px * widest)
    return CropBox(top=(height_px - height) // 2, left=(width_px - width) // 2, height=height, width=width)
