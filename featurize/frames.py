"""From a planned trajectory to what the encoder sees and what is stored beside it.

Legend: F frames, C colours, H W pixels, A state size, E extrinsics size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurize.crop import CropBox, resize
from featurize.encoder.registry import encoder_spec
from featurize.errors import StepOrderError
from featurize.index_table import read_index, read_locations
from featurize.indexed_episode import load_as_indexed
from featurize.isolation import ForeignReader
from featurize.recipe import Build
from featurize.rejects import TRIED_TWICE, EpisodeRejected, rejecting
from featurize.sources.disk import require_readable, require_source
from featurize.sources.protocol import CameraStream, Episode
from featurize.video.shared import decode_into, shared_frames
from store_schema.actions import actions_from_states
from store_schema.format import EXTRINSICS_SIZE, THUMBNAIL_SIZE_PX
from store_schema.tables import Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryFrames:
    """Some frames of a trajectory. pixels_FCHW: float32 0..255; rows: the store's arrays, (F, ...)."""

    pixels_FCHW: Tensor
    rows: dict[str, NDArray[Any]]


class TrajectoryLoader:
    """Decodes these planned trajectories of one build, in child processes that end with the `with` block.

    As many threads as `num_decoders` may call `load` at once; a child is started when it is needed.
    Raises SourceMovedError where no indexed episode lies under the source root: a missing disk must not
    settle every slot as rejected. Raises StepOrderError where the index lacks one of the trajectories, as
    that of a store which was merged, or copied without its `build` folder, may.
    """

    def __init__(self, build: Build, trajectories: Sequence[Trajectory], num_decoders: int = 1) -> None:
        self._locations = read_locations(build)
        require_source(build.source_root, self._locations)
        self.build = build
        # Once: of a timm model it is read off the model, which takes as long as decoding ten frames.
        self._image_size_px = encoder_spec(build.recipe.encoder).image_size_px
        streams = read_index(build, {trajectory.episode_id for trajectory in trajectories})
        self._indexed = {(stream.episode_id, stream.camera): stream for stream in streams}
        self._require_indexed(trajectories)
        self._reader = ForeignReader(num_processes=num_decoders, timeout_seconds=build.read_timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def load(self, trajectory: Trajectory, steps: NDArray[np.int64]) -> TrajectoryFrames:
        """Frames `steps` (F,) of the trajectory.

        Raises EpisodeRejected where the source no longer serves, and SourceMovedError or
        SourceUnreadableError where its disk is at fault, not the episode.
        """
        try:
            return self._load(trajectory, steps)
        except EpisodeRejected as rejected:
            self._require_disk(trajectory)
            if rejected.reason in TRIED_TWICE:
                raise
        # Its disk was away and is back, or the episode is to blame.
        try:
            return self._load(trajectory, steps)
        except EpisodeRejected:
            self._require_disk(trajectory)
            raise

    def _require_indexed(self, trajectories: Sequence[Trajectory]) -> None:
        lost = [t.episode_id for t in trajectories if (t.episode_id, t.camera) not in self._indexed]
        if lost:
            raise StepOrderError(
                f"{len(lost)} trajectories are not in the index of this source, the first of episode "
                f"{lost[0]}. Run `permafrost featurize --step index` with the source that has them, then "
                "this again."
            )

    def _require_disk(self, trajectory: Trajectory) -> None:
        require_source(self.build.source_root, self._locations)
        indexed = self._indexed[trajectory.episode_id, trajectory.camera]
        require_readable(self.build.source_root / indexed.location)

    def _load(self, trajectory: Trajectory, steps: NDArray[np.int64]) -> TrajectoryFrames:
        indexed = self._indexed[trajectory.episode_id, trajectory.camera]
        rows_T = indexed.rows_at(self.build.recipe.clock, trajectory.phase)
        with rejecting(trajectory.episode_id, "encode"):
            episode = load_as_indexed(self.build, self._reader, indexed)
            stream = episode.streams[trajectory.camera]
            boxed_FHWC = self._decode(stream, rows_T[steps], _box(trajectory))
        rows = _row_arrays(episode, trajectory, rows_T, steps)
        rows["thumbnails"] = _thumbnails(boxed_FHWC)
        return TrajectoryFrames(pixels_FCHW=resize(boxed_FHWC, self._image_size_px), rows=rows)

    def _decode(self, stream: CameraStream, rows_F: NDArray[np.int64], box: CropBox) -> Tensor:
        """What lies in the box, uint8: no more than that is handed from one process to the other."""
        shape, size = (len(rows_F), box.height, box.width, 3), (stream.height_px, stream.width_px)
        with shared_frames(shape) as shared:
            of_video = (stream.video_path, rows_F, stream.decoder, size)
            decode = partial(decode_into, shared.path, shape, *of_video, box.slices)
            what = f"decoding {stream.video_path.name}"
            # PyAV decodes all frames up to the last one.
            self._reader.run(decode, what, num_frames=int(rows_F.max()) + 1)
            return torch.from_numpy(shared.frames_FHWC)


def _box(trajectory: Trajectory) -> CropBox:
    return CropBox(
        top=trajectory.crop_top_px,
        left=trajectory.crop_left_px,
        height=trajectory.crop_height_px,
        width=trajectory.crop_width_px,
    )


def _thumbnails(boxed_FHWC: Tensor) -> NDArray[np.uint8]:
    small_FCHW = resize(boxed_FHWC, THUMBNAIL_SIZE_PX).round().byte()
    thumbnails_FHWC: NDArray[np.uint8] = small_FCHW.permute(0, 2, 3, 1).contiguous().numpy()
    return thumbnails_FHWC


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
