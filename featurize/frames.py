"""From a planned trajectory to what the encoder sees and what is stored beside it.

Legend: F frames, C colours, H W pixels, A state size, E extrinsics size.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurize.actions import actions_from_states
from featurize.crop import CropBox, crop_and_resize
from featurize.encoder.registry import encoder_spec
from featurize.index import open_source
from featurize.index_table import IndexedStream, read_index
from featurize.recipe import Build
from featurize.rejects import rejecting
from featurize.sources.protocol import Episode, EpisodeRef
from featurize.video.decode import decode_frames
from store_schema.format import EXTRINSICS_SIZE, THUMBNAIL_SIZE_PX
from store_schema.tables import Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryFrames:
    """Some frames of a trajectory. pixels_FCHW: float32 0..255; rows: the store's arrays, (F, ...)."""

    pixels_FCHW: Tensor
    rows: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TrajectoryLoader:
    """Decodes planned trajectories of one build."""

    build: Build

    def load(self, trajectory: Trajectory, steps: NDArray[np.int64]) -> TrajectoryFrames:
        """Frames `steps` (F,) of the trajectory. Raises EpisodeRejected where the source no longer serves."""
        indexed = self._indexed[trajectory.episode_id, trajectory.camera]
        ref = EpisodeRef(episode_id=indexed.episode_id, location=indexed.location)
        recipe = self.build.recipe
        episode = open_source(self.build).load(ref, (trajectory.camera,), recipe.clock)
        rows_T = indexed.rows_at(recipe.clock, trajectory.phase)
        stream = episode.streams[trajectory.camera]
        with rejecting(trajectory.episode_id, "encode"):
            images_FHWC = torch.from_numpy(decode_frames(stream.video_path, rows_T[steps], stream.decoder))
        box = CropBox(
            top=trajectory.crop_top_px,
            left=trajectory.crop_left_px,
            height=trajectory.crop_height_px,
            width=trajectory.crop_width_px,
        )
        thumbnails_FCHW = crop_and_resize(images_FHWC, box, THUMBNAIL_SIZE_PX)
        rows = _row_arrays(episode, trajectory, rows_T, steps)
        rows["thumbnails"] = thumbnails_FCHW.round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        image_size_px = encoder_spec(recipe.encoder).image_size_px
        return TrajectoryFrames(pixels_FCHW=crop_and_resize(images_FHWC, box, image_size_px), rows=rows)

    @cached_property
    def _indexed(self) -> dict[tuple[str, str], IndexedStream]:
        return {(stream.episode_id, stream.camera): stream for stream in read_index(self.build)}


def _row_arrays(
    episode: Episode, trajectory: Trajectory, rows_T: NDArray[np.int64], steps: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """States, actions to the next stored frame, times and camera poses of the chosen frames."""
    stream = episode.streams[trajectory.camera]
    rows_F = rows_T[steps]
    nan_F = np.full(len(rows_F), np.nan)
    seconds, extrinsics = stream.capture_seconds_R, stream.extrinsics_R6
    nan_FE = np.full((len(rows_F), EXTRINSICS_SIZE), np.nan)
    return {
        "states": episode.states_RA[rows_F].astype(np.float32),
        "actions": actions_from_states(episode.states_RA[rows_T])[steps],
        "timestamps_seconds": nan_F if seconds is None else seconds[rows_F],
        "extrinsics": (nan_FE if extrinsics is None else extrinsics[rows_F]).astype(np.float32),
        "source_index": rows_F.astype(np.int32),
    }
