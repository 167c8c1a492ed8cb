"""Which clips are read to measure reading: windows that share no frame, in random order.

A window that overlapped one read before would come out of the page cache, and its hashes would be known.
Legend: B clips of a micro-batch, W windows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from store_schema.tables import Trajectory

Addresses = NDArray[np.int64]


def shuffled(trajectories: Sequence[Trajectory], *, seed: int = 0) -> list[Trajectory]:
    """The same trajectories in random order."""
    order = np.random.default_rng(seed).permutation(len(trajectories))
    return [trajectories[place] for place in order]


def disjoint_windows(trajectories: Sequence[Trajectory], clip_frames: int, *, seed: int = 0) -> Addresses:
    """First frames (W,) of as many windows as fit side by side, in random order."""
    first_frame_W = np.concatenate([
        np.arange(t.first_frame, t.first_frame + t.num_frames - clip_frames + 1, clip_frames)
        for t in trajectories
    ])  # fmt: skip
    return np.random.default_rng(seed).permutation(first_frame_W)


def micro_batches(first_frame_W: Addresses, clips: int, *, at_least: int = 1) -> list[Addresses]:
    """Full batches (B,) of these windows; where there are fewer than `at_least`, windows come again."""
    num_batches = max(len(first_frame_W) // clips, at_least)
    return list(np.resize(first_frame_W, num_batches * clips).reshape(num_batches, clips))
