import json
import shutil

import pytest

from train.run_folder import RunFolder

FEW = ("--starts", 2, "--samples", 12, "--rounds", 2)


@pytest.fixture
def evaluate(permafrost, own_run):
    """`evaluate(...)` measures a copy of the trained run on its store."""
    return lambda *options: permafrost("evaluate", own_run.run, "--store", own_run.store, *FEW, *options)


def test_prints_one_json_object_with_every_measure(evaluate):
    code, out, _ = evaluate("--json")
    measured = json.loads(out)
    assert code == 0
    assert measured["assessment"].keys() == {
        "prediction", "planning", "energy", "retrieval", "probe", "trust",
    }  # fmt: skip


def test_runs_stand_side_by_side(evaluate, own_run):
    other = own_run.run.with_name("other")
    shutil.copytree(own_run.run, other)
    code, out, _ = evaluate("--against", other, "--json")
    measured = json.loads(out)
    assert code == 0
    assert list(measured) == [str(own_run.run), str(other)]
    ours, theirs = (of["assessment"]["prediction"] for of in measured.values())
    assert ours == theirs
    assert "difference_to_first" not in measured[str(own_run.run)]
    difference = measured[str(other)]["difference_to_first"]
    assert {"prediction", "planning", "energy", "retrieval", "probe"} >= difference.keys()
    assert difference["prediction"]["l1"] == [{"mean": 0.0, "low": 0.0, "high": 0.0}] * 4


def test_a_run_is_not_compared_with_itself(evaluate, own_run, permafrost):
    same = own_run.run / ".." / own_run.run.name
    code, _, err = evaluate("--against", same)
    assert code == 1
    assert f"Run {own_run.run} is named 2 times" in err
    code, _, err = permafrost("report", own_run.run, "--against", same)
    assert code == 1
    assert "Leave it out of --against" in err


def test_a_run_that_is_not_there_is_named_before_the_first_is_measured(evaluate, own_run, tmp_path):
    code, _, err = evaluate("--against", tmp_path / "nothing")
    assert code == 1
    assert f"There is no checkpoint in {tmp_path / 'nothing'}" in err
    assert not RunFolder(own_run.run).trajectory_sums.exists()


def test_tells_people_how_far_runs_are_apart(evaluate, own_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    other = own_run.run.with_name("other")
    shutil.copytree(own_run.run, other)
    code, out, _ = evaluate("--against", other)
    assert code == 0
    assert f"{other} - {own_run.run}" in out
    assert "told apart where its interval lies on one side of 0" in out
    assert "same" in out


def test_tells_people_intervals_and_what_they_rest_on(evaluate):
    code, out, _ = evaluate()
    assert code == 0
    for shown in (
        "95 %",
        "ratio to linear dynamics",
        "Action Score",
        "end effector off",
        "clock physical",
        "labs",
    ):
        assert shown in out
