from collections import defaultdict

import numpy as np
import pytest

from train.measures.energy_landscape import energy_landscape
from train.measures.retrieval import retrieval


def actions_of(steps):
    actions = defaultdict(set)
    for step in steps:
        actions[step.trajectory].update(map(tuple, step.actions_TA.tolist()))
    return actions


def retrieved(planner, steps):
    return retrieval(planner, steps, actions_of(steps))


def test_where_the_recorded_action_is_lowest_it_ranks_first(told_planner, told_steps):
    scores = energy_landscape(told_planner(), told_steps(12))
    assert scores["rank"].max() == 0.0
    assert scores["minimum_centimetres"].mean() < 0.7 * scores["chance_centimetres"].mean()
    assert np.nanmin(scores["gripper_sign"]) == 1.0


def test_where_energies_are_upside_down_it_ranks_last(told_planner, told_steps):
    scores = energy_landscape(told_planner(sign=-1.0), told_steps(12))
    assert scores["rank"].min() == 1.0
    assert scores["minimum_centimetres"].mean() > scores["chance_centimetres"].mean()
    assert np.nanmax(scores["gripper_sign"]) == 0.0


def test_a_predictor_that_ignores_actions_is_no_better_than_chance(told_planner, told_steps):
    indifferent = told_planner(sign=0.0)
    scores = energy_landscape(indifferent, told_steps(3))
    assert scores["rank"] == pytest.approx(0.5)
    assert np.nanmin(scores["gripper_sign"]) == np.nanmax(scores["gripper_sign"]) == 0.5
    hits = retrieved(indifferent, told_steps(8))
    assert hits["other_hit_at_1"] == pytest.approx(1 / 20)
    assert hits["other_hit_at_5"] == pytest.approx(5 / 20)


def test_a_gripper_that_stands_still_has_no_sign(told_planner, told_steps):
    (step,) = told_steps(1)
    step.actions_TA[0, 6] = 0.01
    assert np.isnan(energy_landscape(told_planner(), [step])["gripper_sign"]).all()


def test_the_recorded_action_is_found_among_others(told_planner, told_steps):
    hits = retrieved(told_planner(), told_steps(16))
    assert {name: values.mean() for name, values in hits.items()} == {
        "same_hit_at_1": 1.0, "same_hit_at_5": 1.0, "other_hit_at_1": 1.0, "other_hit_at_5": 1.0,
    }  # fmt: skip


def test_upside_down_it_is_never_found(told_planner, told_steps):
    hits = retrieved(told_planner(sign=-1.0), told_steps(16))
    assert hits["other_hit_at_5"].max() == 0.0


def test_too_few_others_are_told_as_no_score(told_planner, told_steps):
    hits = retrieved(told_planner(), told_steps(2, num_trajectories=2))
    assert np.isnan(hits["same_hit_at_1"]).all()


@pytest.mark.parametrize("measure", [energy_landscape, retrieved])
def test_a_measure_is_the_same_at_every_call(told_planner, told_steps, measure):
    one, two = (measure(told_planner(), told_steps(12)) for _ in range(2))
    assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in one)
