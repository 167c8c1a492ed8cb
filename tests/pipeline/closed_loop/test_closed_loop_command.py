import json

import pytest

from featurize.demo_data.environment import DemoWorld
from pipeline.closed_loop.policies_of_run import policies_of_run
from train.planning.search import Cem


@pytest.fixture
def closed_loop(permafrost, world_build, world_run):
    """Tries the run in two episodes of two steps."""
    few = ("--episodes", 2, "--max-steps", 2, "--samples", 12, "--rounds", 2)

    def run(*options):
        return permafrost("closed-loop", world_run, "--store", world_build.store, *few, *options)

    return run


def test_prints_one_json_object_of_both_tasks_and_all_policies(closed_loop):
    code, out, _ = closed_loop("--seed", 11, "--json")
    facts = json.loads(out)
    assert code == 0
    assert {task: list(policies) for task, policies in facts.items()} == {
        task: ["planned", "random", "zero"] for task in ("reach", "reach_with_object")
    }
    assert [a["seed"] for a in facts["reach"]["planned"]["attempts"]] == [11, 12]


def test_is_repeated_by_its_seed(closed_loop):
    assert closed_loop("--task", "reach", "--json")[1] == closed_loop("--task", "reach", "--json")[1]


def test_the_gripper_may_be_kept_as_it_is(world_build, world_run):
    policies = policies_of_run(
        world_run,
        world_build.store,
        search=Cem(samples=12, rounds=2),
        horizon=1,
        keep_gripper=True,
        device="cpu",
    )
    observation, info = DemoWorld().reset(seed=1)
    for policy in policies.values():
        policy.begin(info["goal_image"], seed=0)
        assert policy.act(observation)[6] == 0
    assert abs(policies["planned"].act(observation)[:3]).max() > 0


def test_tells_people_how_often(closed_loop):
    _, out, _ = closed_loop("--task", "reach")
    assert "0 of 2 [0%, 66%]" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--horizon", 0), "horizon is 0; it must be at least 1"),
        (("--samples", 5), "elites is 10; choose from 2 to samples, 5"),
        (("--weights", "w.pt"), "leave --weights out"),
    ],
)
def test_what_cannot_be_tried_is_one_message(closed_loop, options, message):
    code, _, err = closed_loop(*options)
    assert (code, message in " ".join(err.split()), "Traceback" in err) == (1, True, False), err
