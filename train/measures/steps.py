"""Held-out steps one at a time: where the robot was, what it did, what it then saw.

Legend: N tokens per frame, D encoder width, T frames, A action size (7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from train.held_out import HeldOutClips
from train.poses import pose_difference

_BATCH_CLIPS = 8

Action = tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One start on the view's device. trajectory: its index."""

    trajectory: int
    latents_TND: Tensor
    states_TA: Tensor
    actions_TA: Tensor

    def change(self, horizon: int) -> Tensor:
        """What leads from the state of frame 0 to that of frame `horizon`, (7,)."""
        return pose_difference(self.states_TA[0], self.states_TA[horizon])


def steps_of(starts: HeldOutClips) -> Iterator[Step]:
    """The starts in their order, a few in memory at a time."""
    trajectories = iter(starts.trajectory_S.tolist())
    for clips in starts.batches(_BATCH_CLIPS):
        # The last clip of a batch belongs to the next one.
        for row in range(len(clips.states_BTA) - 1):
            yield Step(
                trajectory=next(trajectories),
                latents_TND=clips.latents_BTND[row],
                states_TA=clips.states_BTA[row],
                actions_TA=clips.actions_BTA[row],
            )


def spread_over_trajectories(starts: HeldOutClips, num_starts: int) -> HeldOutClips:
    """At most `num_starts` starts from as many trajectories as there are: one of each, then a second, ..."""
    seen: Counter[int] = Counter()
    turn_S = []
    for trajectory in starts.trajectory_S.tolist():
        turn_S.append(seen[trajectory])
        seen[trajectory] += 1
    chosen = np.argsort(turn_S, kind="stable")[:num_starts]
    return replace(starts, start_S=starts.start_S[chosen], trajectory_S=starts.trajectory_S[chosen])
