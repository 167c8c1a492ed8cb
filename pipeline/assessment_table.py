"""The measures of one or several runs as the rows of a table: a name, and a cell a run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Row = tuple[str, str]

_NAMES: Final = {
    "rank": "lower than the recorded action, share of samples (chance 0.5)",
    "minimum_centimetres": "lowest sample to the recorded action, cm",
    "chance_centimetres": "  any sample to the recorded action, cm",
    "gripper_sign": "gripper's direction right (chance 0.5)",
    "same_hit_at_1": "recorded action first of 20, same trajectory (chance 0.05)",
    "same_hit_at_5": "recorded action among 5 of 20, same trajectory (chance 0.25)",
    "other_hit_at_1": "recorded action first of 20, other trajectories (chance 0.05)",
    "other_hit_at_5": "recorded action among 5 of 20, other trajectories (chance 0.25)",
    "xyz_centimetres": "end effector off, cm",
    "idle_centimetres": "  doing nothing, cm",
    "rotation_degrees": "rotation not planned, degrees",
    "gripper": "gripper off",
    "seconds_per_action": "seconds an action",
    "predicted_centimetres": "position read from predictions, cm",
    "encoded_centimetres": "  from encoded frames, cm",
    "copy_last_frame_centimetres": "  from the first frame kept, cm",
}


def sections(assessment: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The rows of one run by section; laboratories and cameras are those of its own store."""
    prediction = assessment["prediction"]
    found = {"prediction": list(_prediction_rows(prediction))}
    for horizon, planning in assessment["planning"].items():
        found[f"planning {horizon} ahead"] = list(_planning_rows(planning))
    found["energy, one step"] = _named(assessment["energy"])
    found["retrieval, one step"] = _named(assessment["retrieval"])
    found["probe"] = list(_probe_rows(assessment["probe"]))
    for group, values in prediction["one_frame_ahead_by"].items():
        found[f"ratio to copy last frame by {group}"] = [
            (value, f"{shown(part['ratio_to_copy_last_frame'])} of {part['num_trajectories']} trajectories")
            for value, part in values.items()
        ]
    return found


def side_by_side(assessments: Sequence[Mapping[str, Any] | None]) -> dict[str, dict[str, list[str]]]:
    """By section and by name the cells of all runs, in their order; '' where a run has nothing to show."""
    columns = [{} if found is None else sections(found) for found in assessments]
    table: dict[str, dict[str, list[str]]] = {}
    for section in dict.fromkeys(name for column in columns for name in column):
        cells = [dict(column.get(section, [])) for column in columns]
        names = dict.fromkeys(name for of_run in cells for name in of_run)
        table[section] = {name: [of_run.get(name, "") for of_run in cells] for name in names}
    return table


def trust_sentence(trust: Mapping[str, Any]) -> str:
    """What the numbers of a run rest on."""
    return (
        f"{trust['num_starts']} starts of {trust['num_trajectories']} trajectories from "
        f"{trust['num_labs']} labs, {trust['num_planned_starts']} of them planned for, in "
        f"{trust['share_within_bounds']:.0%} of which the recorded action lies within the bounds; held out: "
        f"{trust['held_out']}; store revision {trust['store_revision']}, clock {trust['clock']}, "
        f"crop {trust['crop']}."
    )


def shown(interval: Mapping[str, float] | None) -> str:
    """A mean with its 95 % interval."""
    if interval is None:
        return "none"
    mean, low, high = (f"{interval[name]:.3g}" for name in ("mean", "low", "high"))
    of_some = f" of {interval['num_starts']} starts" if "num_starts" in interval else ""
    return f"{mean} [{low}, {high}]{of_some}"


def _prediction_rows(prediction: Mapping[str, Any]) -> Iterator[Row]:
    yield "L1 teacher-forced", shown(prediction["teacher_forced_l1"])
    horizons = prediction["horizons"]
    yield from _by_horizon("L1", horizons, prediction["l1"])
    for name, ratios in prediction["ratio_to"].items():
        yield from _by_horizon(f"ratio to {name.replace('_', ' ')}", horizons, ratios)


def _planning_rows(planning: Mapping[str, Any]) -> Iterator[Row]:
    for name, interval in planning.items():
        if name in _NAMES:
            yield _NAMES[name], shown(interval)
    yield "Action Score (80 at best)", f"{planning['action_score']:.1f}"


def _probe_rows(probe: Mapping[str, Any]) -> Iterator[Row]:
    for name, intervals in probe.items():
        if name in _NAMES:
            yield from _by_horizon(_NAMES[name], probe["horizons"], intervals)


def _by_horizon(
    name: str, horizons: Sequence[int], intervals: Sequence[Mapping[str, float]]
) -> Iterator[Row]:
    for horizon, interval in zip(horizons, intervals, strict=True):
        yield f"{name}, {horizon} ahead", shown(interval)


def _named(scores: Mapping[str, Any]) -> list[Row]:
    return [(_NAMES[name], shown(interval)) for name, interval in scores.items()]
