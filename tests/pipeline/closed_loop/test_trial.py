"""How attempts are made and counted."""

import numpy as np
import pytest

from featurize.demo_data.environment import REACHED_METRES, DemoWorld, straight_to
from pipeline.closed_loop.trial import TASKS, Attempt, Trial, try_policy

SEEDS = range(100, 104)


class Oracle:
    """Knows the goal's state, from a world of its own with the same seed."""

    def __init__(self, task):
        self.task = task

    def begin(self, goal_image, *, seed):
        _, info = DemoWorld().reset(seed=seed, options={"task": self.task})
        assert np.array_equal(info["goal_image"], goal_image)
        self.goal_state = info["goal_state"]

    def act(self, observation):
        return straight_to(observation["state"], self.goal_state)


def attempt(*, is_success, end_metres=0.1):
    return Attempt(
        seed=0,
        is_success=is_success,
        steps=1,
        start_metres=0.2,
        end_metres=end_metres,
        object_end_metres=None,
    )


@pytest.mark.parametrize("task", TASKS)
def test_who_knows_the_way_reaches_every_goal(task):
    trial = try_policy(Oracle(task), task, SEEDS, world=DemoWorld(max_steps=10))
    assert trial.success_rate == 1.0
    assert all(a.end_metres < REACHED_METRES < 0.1 <= a.start_metres for a in trial.attempts)


@pytest.mark.parametrize("task", TASKS)
def test_who_does_nothing_reaches_none(task, zero):
    trial = try_policy(zero, task, SEEDS, world=DemoWorld(max_steps=2))
    assert trial.success_rate == 0.0
    assert all((a.steps, a.end_metres) == (2, a.start_metres) for a in trial.attempts)


def test_a_carried_object_counts(zero):
    reach, carry = (try_policy(zero, task, [7], world=DemoWorld(max_steps=1)).attempts[0] for task in TASKS)
    assert reach.object_end_metres is None
    assert carry.object_end_metres == pytest.approx(carry.end_metres, abs=0.03)


def test_an_attempt_follows_from_its_seed_alone():
    one = try_policy(Oracle("reach"), "reach", [103], world=DemoWorld(max_steps=10)).attempts[0]
    assert try_policy(Oracle("reach"), "reach", SEEDS, world=DemoWorld(max_steps=10)).attempts[3] == one


def test_progress_is_told_after_every_episode(zero):
    told = []
    try_policy(
        zero, "reach", SEEDS, world=DemoWorld(max_steps=1), on_episode=lambda *numbers: told.append(numbers)
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_rate_stands_with_its_interval():
    facts = Trial(
        task="reach", attempts=[attempt(is_success=n < 45, end_metres=0.02) for n in range(50)]
    ).to_json()
    assert (facts["successes"], facts["episodes"], facts["success_rate"]["mean"]) == (45, 50, 0.9)
    # Wilson's interval, by its formula with z = 1.95996.
    assert facts["success_rate"]["low"] == pytest.approx(0.7864, abs=1e-4)
    assert facts["success_rate"]["high"] == pytest.approx(0.9565, abs=1e-4)
    assert facts["mean_end_centimetres"] == pytest.approx(2.0)
