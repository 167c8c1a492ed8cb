import json

import pytest


@pytest.fixture
def plan(permafrost, trained):
    """`plan("--goal", "0:3")` plans with the trained run, from frame 0:0 and with few samples."""

    def run(*options):
        few = ("--samples", 12, "--rounds", 2)
        return permafrost("plan", trained.run, "--store", trained.store, "--start", "0:0", *few, *options)

    return run


def test_prints_one_json_object(plan):
    code, out, _ = plan("--goal", "0:1", "--horizon", 2, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["start"], found["goal"], len(found["actions"]), len(found["actions"][0])) == (
        "0:0",
        "0:1",
        2,
        7,
    )
    assert found["position_error_metres"] >= 0


def test_tells_people_centimetres(plan):
    code, out, _ = plan("--goal", "0:1", "--method", "mppi")
    assert code == 0
    for shown in ("action 1", "recorded change", "end effector off", "cm", "doing nothing"):
        assert shown in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--goal", "7"), "'7' names no frame"),
        (("--goal", "44:0"), "has no finished trajectory 44"),
        (("--goal", "0:1", "--samples", 0), "samples is 0; it must be at least 1"),
        (("--goal", "0:1", "--elites", 13), "elites is 13; choose from 2 to samples, 12"),
        (("--goal", "0:1", "--method", "mppi", "--elites", 2), "--elites goes with --method cem"),
        (("--goal", "0:1", "--horizon", 0), "horizon is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_planned_is_one_message(plan, options, message):
    code, _, err = plan(*options)
    assert (code, message in " ".join(err.split()), "Traceback" in err) == (1, True, False)
