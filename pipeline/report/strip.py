"""Held-out windows as pictures: what the encoder saw, what it made of it, and what was predicted.

Legend: B windows, T frames, N tokens per frame, D encoder width, H and W rows and columns of tokens.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from pipeline.report.latent_colours import LatentColours
from pipeline.report.tiles import StripRow
from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory
from train.checkpoint import Checkpoint
from train.clips import Clips
from train.device import autocast, choose_device
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.objective import rollout
from train.trained import trained_predictor
from train.view import View

MAX_WINDOWS: Final = 4
DIFFERENCE_COLOURS: Final = "magma"


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """`CLIP_FRAMES` consecutive frames of a held-out trajectory, the first of them given to the predictor.

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


def predict_strip(checkpoint: Checkpoint, store: Store, *, device: str | None) -> Strip:
    """Predict the first `MAX_WINDOWS` trajectories met in the seeded order of held-out starts, open loop.

    Raises HeldOutError, StoreError, DeviceError.
    """
    target = choose_device(device)
    chosen = _one_start_a_trajectory(HeldOutClips.of(View.of_store(store, target), CLIP_FRAMES))
    (clips,) = chosen.batches(len(chosen))
    predicted_BTND = _predict(checkpoint, clips, target).cpu().float().numpy()
    # The last clip of a batch belongs to the next one.
    latents_BTND = clips.latents_BTND[:-1].cpu().numpy()
    colours = LatentColours.fit(latents_BTND)
    trajectories = {t.index: t for t in store.trajectories}
    windows = tuple(
        _window(store, trajectories[index], start, encoded_TND, predicted_TND, colours)
        for start, index, encoded_TND, predicted_TND in zip(
            chosen.start_S.tolist(),
            chosen.trajectory_S.tolist(),
            latents_BTND,
            predicted_BTND,
            strict=True,
        )
    )
    return Strip(
        windows=windows,
        error_limit=max(float(error.max()) for w in windows for error in (w.error, w.copy_error)),
        explained_share=colours.explained_share,
        frame_seconds=1.0 / store.attributes.fingerprint.frame_rate_hz,
    )


def _one_start_a_trajectory(clips: HeldOutClips) -> HeldOutClips:
    _, first_met = np.unique(clips.trajectory_S, return_index=True)
    chosen = np.sort(first_met)[:MAX_WINDOWS]
    return replace(clips, start_S=clips.start_S[chosen], trajectory_S=clips.trajectory_S[chosen])


def _predict(checkpoint: Checkpoint, clips: Clips, device: torch.device) -> Tensor:
    predictor = trained_predictor(checkpoint).to(device).eval()
    with torch.no_grad(), autocast(device):
        return rollout(
            predictor, clips.latents_BTND[:-1, 0], clips.states_BTA[:-1, 0], clips.actions_BTA[:-1]
        )


def _window(
    store: Store,
    trajectory: Trajectory,
    start: int,
    encoded_TND: NDArray[np.float32],
    predicted_TND: NDArray[np.float32],
    colours: LatentColours,
) -> Window:
    encoder = store.attributes.fingerprint.encoder
    grid = (-1, encoder.grid_height, encoder.grid_width)
    later_TND = encoded_TND[1:]
    return Window(
        trajectory=trajectory,
        offset=start - trajectory.first_frame,
        thumbnails=ClipReader.open(store).thumbnails(start, CLIP_FRAMES),
        encoded=colours(encoded_TND).reshape(*grid, 3),
        predicted=colours(predicted_TND).reshape(*grid, 3),
        error=_mean_over_channels(predicted_TND - later_TND).reshape(grid),
        copy_error=_mean_over_channels(encoded_TND[:1] - later_TND).reshape(grid),
    )


def _mean_over_channels(difference_TND: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.abs(difference_TND).mean(axis=-1, dtype=np.float64))
