"""What the rows of a trajectory say, with each other and with the clock.

Legend: F frames, A action and state size (7: xyz, Euler xyz, gripper), E extrinsics size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from store_schema.actions import EULER, actions_from_states, is_out_of_range
from store_schema.attributes import Fingerprint
from store_schema.format import SLOT_FRAMES
from store_schema.problem import Problem
from store_schema.tables import Trajectory

FLOAT32_EPSILON: Final = float(np.finfo(np.float32).eps)
# States are rounded to float32 when stored, after the actions were computed: four roundings of the largest.
ACTION_ROUNDINGS: Final = 4
ROTATION_TOLERANCE_RADIANS: Final = 1e-5
CLOCK_TOLERANCE_SECONDS: Final = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectoryRows:
    """All frames of one trajectory, without latents and pictures."""

    trajectory: Trajectory
    fingerprint: Fingerprint
    states_FA: NDArray[np.float32]
    actions_FA: NDArray[np.float32]
    timestamps_seconds_F: NDArray[np.float64]
    extrinsics_FE: NDArray[np.float32]
    source_index_F: NDArray[np.int32]


def row_problems(rows: TrajectoryRows) -> Iterator[Problem]:
    """What is wrong with the rows of a trajectory; states that are not finite hide what follows from them."""
    unusable = list(has_finite_states(rows))
    yield from unusable
    if not unusable:
        for validator in (has_states_in_range, ends_without_action, has_actions_of_its_states):
            yield from validator(rows)
    for validator in (has_increasing_times, follows_the_clock, has_increasing_rows, has_whole_poses):
        yield from validator(rows)


def has_finite_states(rows: TrajectoryRows) -> Iterator[Problem]:
    """V4. States MUST be finite."""
    yield from _at(rows, "states", _any(~np.isfinite(rows.states_FA)), "is NaN or infinite")


def has_states_in_range(rows: TrajectoryRows) -> Iterator[Problem]:
    """V5. The gripper MUST lie within -0.05..1.05, and Euler angles within -pi..pi."""
    is_wide_F, is_turned_F = is_out_of_range(rows.states_FA).T
    yield from _at(rows, "states", is_wide_F, "has a gripper outside -0.05..1.05")
    yield from _at(rows, "states", is_turned_F, "has an Euler angle outside -pi..pi")


def ends_without_action(rows: TrajectoryRows) -> Iterator[Problem]:
    """V6. Actions MUST be finite, but for the last frame of a trajectory, where all of them MUST be NaN."""
    is_wrong_F = _any(~np.isfinite(rows.actions_FA))
    is_wrong_F[-1] = not np.isnan(rows.actions_FA[-1]).all()
    yield from _at(rows, "actions", is_wrong_F, "is NaN before the last frame, or a number in it")


def has_actions_of_its_states(rows: TrajectoryRows) -> Iterator[Problem]:
    """V7. Actions MUST be what `actions_from_states` makes of the states, but for rounding to float32."""
    if len(rows.states_FA) < 2:
        return
    found_FA = rows.actions_FA[:-1]
    expected_FA = actions_from_states(rows.states_FA.astype(np.float64))[:-1]
    largest = max(1.0, float(np.abs(rows.states_FA).max()))
    tolerance = ACTION_ROUNDINGS * FLOAT32_EPSILON * largest
    moved_FA = np.abs(found_FA - expected_FA)[:, [0, 1, 2, 6]]
    turned_F = _angles_between(found_FA, expected_FA)
    # NaN is beyond no tolerance here; V6 tells of it.
    is_wrong_F = _any(moved_FA > tolerance) | (turned_F > ROTATION_TOLERANCE_RADIANS)
    yield from _at(rows, "actions", is_wrong_F, "is not the change from its state to the next")


def has_increasing_times(rows: TrajectoryRows) -> Iterator[Problem]:
    """V8. Times MUST be finite and increase, or all be NaN where the source has none."""
    seconds_F = rows.timestamps_seconds_F
    if np.isnan(seconds_F).all() and rows.fingerprint.clock != "physical":
        return
    is_wrong_F = ~np.isfinite(seconds_F)
    is_wrong_F[1:] |= ~(np.diff(seconds_F) > 0)
    yield from _at(rows, "timestamps_seconds", is_wrong_F, "is not finite, or not after the one before")


def follows_the_clock(rows: TrajectoryRows) -> Iterator[Problem]:
    """V9. On clock `physical`, frame t MUST lie within half a period of (phase + t) / frame_rate_hz s."""
    if rows.fingerprint.clock != "physical":
        return
    period_seconds = 1 / rows.fingerprint.frame_rate_hz
    grid_F = (rows.trajectory.phase + np.arange(len(rows.timestamps_seconds_F))) * period_seconds
    is_off_F = np.abs(rows.timestamps_seconds_F - grid_F) > period_seconds / 2 + CLOCK_TOLERANCE_SECONDS
    yield from _at(rows, "timestamps_seconds", is_off_F, "lies off the grid of its clock")


def has_increasing_rows(rows: TrajectoryRows) -> Iterator[Problem]:
    """V10. `source_index` MUST be 0 or more, and increase."""
    is_wrong_F = rows.source_index_F < 0
    is_wrong_F[1:] |= np.diff(rows.source_index_F) <= 0
    yield from _at(rows, "source_index", is_wrong_F, "is negative, or not after the one before")


def has_whole_poses(rows: TrajectoryRows) -> Iterator[Problem]:
    """V11. `extrinsics` MUST NOT be infinite."""
    yield from _at(rows, "extrinsics", _any(np.isinf(rows.extrinsics_FE)), "is infinite")


def _angles_between(ours_FA: NDArray[Any], theirs_FA: NDArray[Any]) -> NDArray[np.float64]:
    """Radians (F,) from one rotation to the other: the same one may be written as other Euler angles."""
    is_number_F = np.isfinite(ours_FA).all(axis=1)
    angles_F = np.zeros(len(ours_FA))
    ours, theirs = (Rotation.from_euler("xyz", a[is_number_F][:, EULER]) for a in (ours_FA, theirs_FA))
    angles_F[is_number_F] = (ours * theirs.inv()).magnitude()
    return angles_F


def _any(is_wrong_FX: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames (F,) with anything wrong."""
    return np.asarray(is_wrong_FX.any(axis=1))


def _at(rows: TrajectoryRows, array: str, is_wrong_F: NDArray[np.bool_], what: str) -> Iterator[Problem]:
    """One problem a trajectory and array, at the first frame that is wrong."""
    if is_wrong_F.any():
        trajectory, frame = rows.trajectory, int(np.flatnonzero(is_wrong_F)[0])
        slot = trajectory.slots[frame // SLOT_FRAMES]
        yield Problem(
            kind="wrong_value",
            where=f"slot {slot}, array {array}",
            detail=f"Frame {frame} of trajectory {trajectory.index} {what}; so are "
            f"{int(is_wrong_F.sum())} of its {trajectory.num_frames} frames.",
            slot=slot,
        )
