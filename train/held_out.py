"""The held-out clips that errors are measured on.

Legend: S starts, B clips of a batch.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from train.clips import Clips
from train.view import View

ORDER_SEED: Final = 0
"""Fixes the order of the starts, hence subsets and foreign actions, alike for every run on a store."""


class HeldOutError(ValueError):
    """There is too little held-out data to measure anything."""


@dataclass(frozen=True, eq=False)
class HeldOutClips:
    """Every start in the validation split from which `clip_frames` frames follow, in one seeded random order.

    start_S: addresses of first frames. trajectory_S: index of the trajectory of each.
    """

    view: View
    clip_frames: int
    start_S: NDArray[np.int64]
    trajectory_S: NDArray[np.int64]

    @classmethod
    def of(cls, view: View, clip_frames: int) -> "HeldOutClips":
        """Raises HeldOutError where there are fewer than two starts."""
        trajectories = view.split("validation")
        starts = [
            (t.first_frame + offset, t.index)
            for t in trajectories
            for offset in range(t.num_frames - clip_frames + 1)
        ]
        if len(starts) < 2:
            raise HeldOutError(
                f"{len(trajectories)} held-out trajectories hold {len(starts)} clips of {clip_frames} "
                "frames; at least 2 are needed. Featurize more or longer episodes, or hold out a larger "
                "share of them."
            )
        order = np.random.default_rng(ORDER_SEED).permutation(len(starts))
        start_S, trajectory_S = np.array(starts, dtype=np.int64)[order].T
        return cls(view, clip_frames, start_S, trajectory_S)

    def __len__(self) -> int:
        return len(self.start_S)

    @property
    def num_trajectories(self) -> int:
        """Trajectories that the starts lie in."""
        return len(np.unique(self.trajectory_S))

    def first(self, num_starts: int) -> "HeldOutClips":
        """A random part of at most `num_starts` starts."""
        return replace(self, start_S=self.start_S[:num_starts], trajectory_S=self.trajectory_S[:num_starts])

    def batches(self, batch_clips: int, *, rank: int = 0, world_size: int = 1) -> Generator[Clips]:
        """The clips in order, at most `batch_clips` at a time, each batch with the clip after its last added.

        Of several processes each has every `world_size`-th batch, from the `rank`-th on.
        After the very last clip comes the first. So row i + 1 is always another clip than row i, and pairing
        each clip with the next is one cyclic permutation of all of them, whatever the batch size.
        """
        cycle = np.append(self.start_S, self.start_S[0])
        begins = range(rank * batch_clips, len(self), world_size * batch_clips)
        parts = (cycle[begin : begin + batch_clips + 1] for begin in begins)
        supply = self.view.clips
        with supply.stream(parts, clip_frames=self.clip_frames, max_clips=batch_clips + 1) as stream:
            yield from stream
