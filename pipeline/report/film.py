"""A held-out window as a film: what was seen, encoded and predicted, and where the prediction is off.

Animated WebP, which every browser plays from a data: address, phones included, and which loses nothing here.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.report import images
from pipeline.report.strip import Strip, Window, difference_colours

PANES: Final = ("seen", "encoded", "predicted", "error")
SIDE_PX: Final = 128
GAP_PX: Final = 6
CLOCK_PX: Final = 4
LAST_FRAME_SHOWN: Final = 3
"""Times as long as the others, so that the end is seen before the film starts again."""
CLOCK_RGB: Final = (0, 114, 178)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Film:
    """Data: addresses of the film and of its last frame, for people who want nothing to move."""

    moving: str
    still: str

    @classmethod
    def of(cls, strip: Strip, window: Window) -> "Film":
        """At the speed of the recording."""
        frames = [Image.fromarray(frame) for frame in film_frames(strip, window)]
        milliseconds = round(1000 * strip.frame_seconds)
        durations = [milliseconds] * (len(frames) - 1) + [LAST_FRAME_SHOWN * milliseconds]
        moving, still = io.BytesIO(), io.BytesIO()
        frames[0].save(
            moving, format="webp", save_all=True, append_images=frames[1:], duration=durations, loop=0,
            lossless=True, quality=80, method=4,
        )  # fmt: skip
        frames[-1].save(still, format="webp", lossless=True, quality=80, method=4)
        return cls(
            moving=images.address("image/webp", moving.getvalue()),
            still=images.address("image/webp", still.getvalue()),
        )


def film_frames(strip: Strip, window: Window) -> list[Pixels]:
    """Every frame of the window, RGBA uint8 (height, width, 4): the `PANES` in a line over a clock.

    Frame 0 is given: its prediction is what was encoded, without error.
    """
    given = window.encoded[:1]
    error = np.concatenate([np.zeros_like(window.error[:1]), window.error]) / (strip.error_limit or 1.0)
    predicted = np.concatenate([given, window.predicted])
    panes = (window.thumbnails, window.encoded, predicted, difference_colours(error))
    resized = [list(_resized(pane, smooth=number == 0)) for number, pane in enumerate(panes)]
    num_frames = len(window.thumbnails)
    return [
        _composed([pane[frame] for pane in resized], share=(frame + 1) / num_frames)
        for frame in range(num_frames)
    ]


def _resized(pictures_FHWC: Pixels, *, smooth: bool) -> Iterator[Pixels]:
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    for picture in pictures_FHWC:
        yield np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), how).convert("RGBA"))


def _composed(panes: list[Pixels], *, share: float) -> Pixels:
    """Panes with nothing between them, and below a bar that has grown to `share` of the width."""
    width = len(panes) * SIDE_PX + (len(panes) - 1) * GAP_PX
    frame = np.zeros((SIDE_PX + GAP_PX + CLOCK_PX, width, 4), dtype=np.uint8)
    for number, pane in enumerate(panes):
        left = number * (SIDE_PX + GAP_PX)
        frame[:SIDE_PX, left : left + SIDE_PX] = pane
    frame[-CLOCK_PX:, : round(share * width)] = (*CLOCK_RGB, 255)
    return frame
