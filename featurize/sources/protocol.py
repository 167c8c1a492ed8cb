"""What a source of episodes offers, whatever its format on disk.

Shape suffixes: R source rows, A state size (7: xyz, Euler xyz, gripper), 6 a pose (xyz, Euler xyz).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from featurize.clock import Clock
from featurize.video.decode import Decoder


@dataclass(frozen=True, kw_only=True)
class EpisodeRef:
    """An episode that was found, not yet looked at. location: POSIX path relative to the source's root."""

    episode_id: str
    location: str


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraStream:
    """One camera of an episode; row i of the episode is frame i of the video, for i in [0, num_frames).

    camera: `left`, `right` or `wrist`. num_frames: R, the rows that have a frame and the frames that have a
    row. nominal_hz: the rate the file claims, which need not be the physical one. decoder: what reads it
    exactly. capture_seconds_R: float64, since the episode's first row; None where the source has no time
    stamps. extrinsics_R6: float32, camera pose in the robot's base frame (metres, radians); None where there
    is none.
    """

    camera: str
    serial: str
    video_path: Path
    num_frames: int
    height_px: int
    width_px: int
    codec: str
    nominal_hz: float
    decoder: Decoder
    decoder_reason: str
    capture_seconds_R: NDArray[np.float64] | None
    extrinsics_R6: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """One usable recording.

    task: what was asked for, '' where the source does not say. states_RA: float64 (R, 7): end-effector xyz in
    metres, extrinsic-xyz Euler angles in radians, gripper 0 (open) to 1 (closed). streams: by camera.
    """

    ref: EpisodeRef
    lab: str
    success: bool
    task: str
    states_RA: NDArray[np.float64]
    streams: Mapping[str, CameraStream]


class Source(Protocol):
    """A collection of episodes."""

    @property
    def name(self) -> str:
        """Its kind, as recipes spell it."""

    @property
    def attribution(self) -> str:
        """Whom to credit; carried into the store."""

    @property
    def licence(self) -> str:
        """The text of its licence; carried into the store."""

    def episodes(self) -> Iterator[EpisodeRef]:
        """Everything that looks like an episode, always in the same order."""

    def load(self, ref: EpisodeRef, cameras: Sequence[str], clock: Clock) -> Episode:
        """Read and check one episode without decoding its videos. Raises EpisodeRejected.

        It is usable when every camera asked for is, and gives at least one clip on `clock` at any phase.
        Damage inside its videos is found by `video.verify.verify_decodes`, once, when it is indexed.
        """
