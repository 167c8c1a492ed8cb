"""Held-out windows as pictures: what the encoder saw, what it made of it, and what was predicted.

Legend: T frames, N tokens per frame, D encoder width, H and W rows and columns of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from pipeline.report.latent_colours import LatentColours
from pipeline.report.tiles import StripRow
from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory
from train.measures.rollouts import Rollout

DIFFERENCE_COLOURS: Final = "magma"


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """Consecutive frames of a held-out trajectory, the first of them given to the predictor.

    offset: of the first frame within the trajectory. thumbnails: uint8 (T, 64, 64, 3). encoded: uint8
    colours (T, H, W, 3). The others are about frames 1 to T-1: predicted, colours as of encoded;
    error and copy_error, float64 (T-1, H, W), mean absolute difference over the channels from the encoded
    latent, of the prediction and of the first frame held still.
    """

    trajectory: Trajectory
    offset: int
    thumbnails: NDArray[np.uint8]
    encoded: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    error: NDArray[np.float64]
    copy_error: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """Windows that share one projection to colours and one scale of differences, 0 to `error_limit`."""

    windows: tuple[Window, ...]
    error_limit: float
    explained_share: float
    frame_seconds: float

    def rows(self, window: Window) -> tuple[StripRow, ...]:
        """What is shown of a window, from top to bottom."""
        return (
            StripRow(name="seen", pictures_FHWC=window.thumbnails),
            StripRow(name="encoded", pictures_FHWC=window.encoded),
            StripRow(name="predicted", pictures_FHWC=window.predicted),
            self._error_row("error of predicted", window.error),
            self._error_row("error of frame 0 kept", window.copy_error),
        )

    def _error_row(self, name: str, error_FHW: NDArray[np.float64]) -> StripRow:
        colours = difference_colours(error_FHW / (self.error_limit or 1.0))
        return StripRow(name=name, pictures_FHWC=colours, means_F=error_FHW.mean(axis=(1, 2)))


def difference_colours(share_X: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shares 0..1 of the largest difference as colours, uint8 (..., 3)."""
    return np.asarray(colormaps[DIFFERENCE_COLOURS](share_X, bytes=True)[..., :3], dtype=np.uint8)


def draw_strip(store: Store, rollouts: Sequence[Rollout]) -> Strip:
    """The windows as pictures. Raises StoreError."""
    colours = LatentColours.fit(np.stack([_array(rolled.encoded_TND) for rolled in rollouts]))
    windows = tuple(_window(store, rolled, colours) for rolled in rollouts)
    return Strip(
        windows=windows,
        error_limit=max(float(error.max()) for w in windows for error in (w.error, w.copy_error)),
        explained_share=colours.explained_share,
        frame_seconds=1.0 / store.attributes.fingerprint.frame_rate_hz,
    )


def _window(store: Store, rolled: Rollout, colours: LatentColours) -> Window:
    encoder = store.attributes.fingerprint.encoder
    grid = (-1, encoder.grid_height, encoder.grid_width)
    encoded_TND, predicted_TND = _array(rolled.encoded_TND), _array(rolled.predicted_TND)
    trajectory = next(t for t in store.trajectories if t.index == rolled.trajectory)
    return Window(
        trajectory=trajectory,
        offset=rolled.first_frame - trajectory.first_frame,
        thumbnails=ClipReader.open(store).thumbnails(rolled.first_frame, len(encoded_TND)),
        encoded=colours(encoded_TND).reshape(*grid, 3),
        predicted=colours(predicted_TND).reshape(*grid, 3),
        error=_mean_over_channels(predicted_TND - encoded_TND[1:]).reshape(grid),
        copy_error=_mean_over_channels(encoded_TND[:1] - encoded_TND[1:]).reshape(grid),
    )


def _array(latents_TND: Tensor) -> NDArray[np.float32]:
    return np.asarray(latents_TND.cpu().numpy(), dtype=np.float32)


def _mean_over_channels(difference_TND: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.abs(difference_TND).mean(axis=-1, dtype=np.float64))
