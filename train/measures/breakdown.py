"""The same error by where it was recorded: laboratory, camera, success of the episode. S: starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from store_schema.tables import Trajectory
from train.held_out import HeldOutClips
from train.measures.intervals import TrajectorySums

GROUPS = ("lab", "camera", "success")


def breakdown(
    own_S: NDArray[np.float64], copied_S: NDArray[np.float64], starts: HeldOutClips
) -> dict[str, dict[str, Any]]:
    """For each group and each of its values: L1, its ratio to copying the last frame, and how many."""
    by_index = {t.index: t for t in starts.view.trajectories}
    trajectories = [by_index[index] for index in starts.trajectory_S.tolist()]
    return {group: _by_value(group, own_S, copied_S, trajectories) for group in GROUPS}


def _by_value(
    group: str, own_S: NDArray[np.float64], copied_S: NDArray[np.float64], trajectories: list[Trajectory]
) -> dict[str, Any]:
    value_S = np.array([str(getattr(t, group)) for t in trajectories])
    index_S = np.array([t.index for t in trajectories])
    parts = {}
    for value in np.unique(value_S).tolist():
        chosen = value_S == value
        parts[value] = {
            "num_trajectories": len(np.unique(index_S[chosen])),
            "l1": TrajectorySums.of_mean(own_S[chosen], index_S[chosen]),
            "ratio_to_copy_last_frame": TrajectorySums.of_ratio(
                own_S[chosen], copied_S[chosen], index_S[chosen]
            ),
        }
    return parts
