"""The measures of one or several runs as the rows of a table: a name, and a cell a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Row = tuple[str, str]
Tree = Mapping[str, Any]
Show = Callable[[Mapping[str, float] | None], str]

_NAMES: Final = {
    "rank": "lower than the recorded action, share of samples (chance 0.5)",
    "minimum_centimetres": "lowest sample to the recorded action, cm",
    "chance_centimetres": "  any sample to the recorded action, cm",
    "gripper_sign": "recorded gripper direction below its opposite (chance 0.5)",
    "same_hit_at_1": "recorded action first of 20, same trajectory (chance 0.05)",
    "same_hit_at_5": "recorded action among 5 of 20, same trajectory (chance 0.25)",
    "other_hit_at_1": "recorded action first of 20, other trajectories (chance 0.05)",
    "other_hit_at_5": "recorded action among 5 of 20, other trajectories (chance 0.25)",
    "xyz_centimetres": "end effector off, cm",
    "idle_centimetres": "  doing nothing, cm",
    "rotation_degrees": "rotation not planned, degrees",
    "gripper": "gripper off",
    "idle_gripper": "  doing nothing, gripper",
    "seconds_per_action": "seconds an action",
    "predicted_centimetres": "position read from predictions since the first frame, cm",
    "encoded_centimetres": "  from encoded frames, cm",
    "copy_last_frame_centimetres": "  from the first frame kept, cm",
}


DIFFERENCES_SAID: Final = (
    "A difference is taken on the same starts: the runs are told apart where its interval lies on one side "
    "of 0, though their own intervals may overlap."
)


def sections(assessment: Tree) -> dict[str, list[Row]]:
    """The rows of one run by section; laboratories and cameras are those of its own store."""
    return _sections(assessment, shown)


def difference_sections(differences: Tree) -> dict[str, list[Row]]:
    """The same of what `train.measures.measure_trees.differences` gives."""
    return _sections(differences, shown_difference)


def columns_of(
    assessments: Mapping[str, Tree | None], differences: Mapping[str, Tree]
) -> dict[str, dict[str, dict[str, str]]]:
    """By heading, section and name the cells of all runs, then of their differences to the first run."""
    first = next(iter(assessments), "")
    columns = {name: {} if found is None else sections(found) for name, found in assessments.items()}
    columns |= {f"{name} - {first}": difference_sections(found) for name, found in differences.items()}
    return {
        heading: {section: dict(rows) for section, rows in of_column.items()}
        for heading, of_column in columns.items()
    }


def side_by_side(columns: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, list[str]]]:
    """By section and by name a cell for each heading, in their order; '' where there is nothing."""
    table: dict[str, dict[str, list[str]]] = {}
    for section in dict.fromkeys(name for column in columns.values() for name in column):
        cells = [column.get(section, {}) for column in columns.values()]
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


def shown_difference(interval: Mapping[str, float] | None) -> str:
    """Signed, so that an interval on one side of 0 is seen at once."""
    if interval is None:
        return ""
    if interval["low"] == interval["high"] == 0:
        return "same"
    mean, low, high = (f"{interval[name]:+.2g}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _sections(tree: Tree, show: Show) -> dict[str, list[Row]]:
    prediction = tree["prediction"]
    found = {"prediction": list(_prediction_rows(prediction, show))}
    for horizon, planning in tree.get("planning", {}).items():
        found[f"planning {horizon} ahead"] = list(_planning_rows(planning, show))
    found["energy, one step"] = _named(tree.get("energy", {}), show)
    found["retrieval, one step"] = _named(tree.get("retrieval", {}), show)
    found["probe"] = list(_probe_rows(tree.get("probe", {}), show))
    for group, values in prediction.get("one_frame_ahead_by", {}).items():
        found[f"ratio to copy last frame by {group}"] = [
            (value, show(part["ratio_to_copy_last_frame"]) + _of_trajectories(part))
            for value, part in values.items()
        ]
    return found


def _of_trajectories(part: Tree) -> str:
    return f" of {part['num_trajectories']} trajectories" if "num_trajectories" in part else ""


def _prediction_rows(prediction: Tree, show: Show) -> Iterator[Row]:
    yield "L1 teacher-forced", show(prediction.get("teacher_forced_l1"))
    horizons = prediction["horizons"]
    yield from _by_horizon("L1", horizons, prediction["l1"], show)
    for name, ratios in prediction["ratio_to"].items():
        yield from _by_horizon(f"ratio to {name.replace('_', ' ')}", horizons, ratios, show)


def _planning_rows(planning: Tree, show: Show) -> Iterator[Row]:
    yield from _named(planning, show)
    if "action_score" in planning:
        yield "Action Score (80 at best)", f"{planning['action_score']:.1f}"


def _probe_rows(probe: Tree, show: Show) -> Iterator[Row]:
    for name, intervals in probe.items():
        if name in _NAMES:
            yield from _by_horizon(_NAMES[name], probe["horizons"], intervals, show)


def _by_horizon(
    name: str, horizons: Sequence[int], intervals: Sequence[Mapping[str, float]], show: Show
) -> Iterator[Row]:
    for horizon, interval in zip(horizons, intervals, strict=True):
        yield f"{name}, {horizon} ahead", show(interval)


def _named(scores: Tree, show: Show) -> list[Row]:
    return [(_NAMES[name], show(interval)) for name, interval in scores.items() if name in _NAMES]
