"""Which clips an update sees: every draw is a function of (seed, step, rank) and of nothing else.

Legend: B clips, E episodes, W trajectories that hold a window.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from store_schema.tables import Trajectory

_NUM_FRACTION_BITS = 53


class SampleBy(StrEnum):
    """What is drawn uniformly: windows, or episodes and then a window of the episode (the public loader)."""

    WINDOW = "window"
    EPISODE = "episode"


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowSampler:
    """All windows of `clip_frames` frames of some trajectories, numbered episode by episode.

    A trajectory of F frames has F - clip_frames + 1 windows, the last one included.
    first_frame_W: address of each trajectory's first frame. start_W: number of its first window.
    episode_start_E, episode_size_E: number of each episode's first window, and its windows.
    rank, world_size: this process draws its own rows of the global batch, the same for any world_size.
    """

    first_frame_W: NDArray[np.int64]
    start_W: NDArray[np.int64]
    episode_start_E: NDArray[np.int64]
    episode_size_E: NDArray[np.int64]
    batch_clips: int
    sample_by: SampleBy
    seed: int
    rank: int = 0
    world_size: int = 1

    @classmethod
    def over(
        cls,
        trajectories: Sequence[Trajectory],
        *,
        clip_frames: int,
        batch_clips: int,
        sample_by: SampleBy,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> "WindowSampler":
        """The sampler over trajectories that all have at least `clip_frames` frames (see `long_enough`)."""
        ordered = sorted(trajectories, key=lambda t: (t.episode_id, t.index))
        size_W = np.array([t.num_frames - clip_frames + 1 for t in ordered], dtype=np.int64)
        assert size_W.min() > 0, "trajectories too short for a clip were to be left out"
        assert batch_clips % world_size == 0, "the recipe divides batch_clips among the processes"
        start_W = np.cumsum(size_W) - size_W
        _, first_of_episode_E = np.unique([t.episode_id for t in ordered], return_index=True)
        return cls(
            first_frame_W=np.array([t.first_frame for t in ordered], dtype=np.int64),
            start_W=start_W,
            episode_start_E=start_W[first_of_episode_E],
            episode_size_E=np.add.reduceat(size_W, first_of_episode_E),
            batch_clips=batch_clips,
            sample_by=sample_by,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )

    @property
    def num_windows(self) -> int:
        """Windows that can be drawn."""
        return int(self.episode_size_E.sum())

    def draw(self, step: int) -> NDArray[np.int64]:
        """First-frame addresses (B,) of this process's clips of an update; B = batch_clips / world_size."""
        episode_draw_B, window_draw_B = self._uniform(step)
        if self.sample_by is SampleBy.WINDOW:
            window_B = _scaled(window_draw_B, np.int64(self.num_windows))
        else:
            episode_B = _scaled(episode_draw_B, np.int64(len(self.episode_size_E)))
            within_B = _scaled(window_draw_B, self.episode_size_E[episode_B])
            window_B = self.episode_start_E[episode_B] + within_B
        trajectory_B = np.searchsorted(self.start_W, window_B, side="right") - 1
        return self.first_frame_W[trajectory_B] + window_B - self.start_W[trajectory_B]

    def identity_sha256(self) -> str:
        """Hash of the set of windows: equal where the same draws mean the same clips."""
        numbers = np.concatenate([self.first_frame_W, self.start_W, self.episode_start_E, [self.num_windows]])
        return hashlib.sha256(numbers.astype("<i8").tobytes()).hexdigest()

    def _uniform(self, step: int) -> NDArray[np.float64]:
        """Two draws in [0, 1) for each of this process's rows, float64 (2, B).

        The raw stream of Philox is promised to stay as it is; those of numpy's distributions are not.
        """
        bits = np.random.Philox(np.random.SeedSequence(entropy=self.seed, spawn_key=(step,)))
        raw = bits.random_raw(2 * self.batch_clips) >> np.uint64(64 - _NUM_FRACTION_BITS)
        global_draws = raw.astype(np.float64) / 2.0**_NUM_FRACTION_BITS
        return global_draws.reshape(2, self.world_size, -1)[:, self.rank]


def _scaled(draw_B: NDArray[np.float64], count_B: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """Uniform whole numbers in [0, count); the product rounds to below `count` for any count under 2^53."""
    return (draw_B * count_B).astype(np.int64)
