import numpy as np
import pytest

from train.measures.intervals import TrajectorySums
from train.measures.measure_trees import as_json, by_name, differences


def sums_of(*values: float, trajectories: tuple[int, ...] = (0, 1)) -> TrajectorySums:
    return TrajectorySums.of_mean(np.array(values), np.array(trajectories))


def tree_of(error: float, *, planned_for: tuple[int, ...] = (0, 1)):
    return {
        "prediction": {"horizons": [1, 2], "l1": [sums_of(error, 2.0), sums_of(3.0, 4.0)]},
        "planning": {"1": {"action_score": 3.0, "gripper": sums_of(error, error, trajectories=planned_for)}},
        "energy": {"gripper_sign": None},
        "trust": {"clock": "physical"},
    }


def test_a_tree_keeps_its_shape_and_shows_intervals():
    shown = as_json(tree_of(1.0))
    assert shown["prediction"]["horizons"] == [1, 2]
    assert shown["prediction"]["l1"][0] == {"mean": 1.5, "low": 1.0, "high": 2.0}
    assert shown["planning"]["1"]["action_score"] == 3.0
    assert shown["energy"] == {"gripper_sign": None}


def test_a_measure_is_named_by_the_way_to_it():
    assert set(by_name(tree_of(1.0))) == {"prediction/l1/0", "prediction/l1/1", "planning/1/gripper"}


def test_differences_are_those_of_the_same_measures_and_nothing_else_is_shown():
    ours, theirs = tree_of(1.0), tree_of(0.0)
    found = differences(as_json(ours), by_name(ours), by_name(theirs))
    assert set(found) == {"prediction", "planning"}
    assert found["prediction"]["horizons"] == [1, 2]
    assert found["prediction"]["l1"][0] == pytest.approx({"mean": 0.5, "low": 0.0, "high": 1.0})
    assert found["prediction"]["l1"][1] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert found["planning"] == {"1": {"gripper": {"mean": 1.0, "low": 1.0, "high": 1.0}}}


def test_what_was_planned_for_other_starts_is_left_out():
    ours, theirs = tree_of(1.0), tree_of(0.0, planned_for=(0, 2))
    assert set(differences(as_json(ours), by_name(ours), by_name(theirs))) == {"prediction"}
    assert differences({"energy": {"rank": 1.0}}, {}, {}) is None
