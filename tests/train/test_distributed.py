"""Two and three real processes under torchrun, over gloo on loopback: the run of one process, by many."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.checkpoint import Checkpoint
from train.metrics import read_metrics
from train.trainer import train

WORKER = Path(__file__).with_name("distributed_worker.py")
ONE_STEP = {"steps": 1, "warmup_steps": 0, "decay_steps": 0}


def torchrun(
    num_processes: int, store: Path, folder: Path, scenarios: dict[str, dict[str, object]]
) -> subprocess.CompletedProcess[str]:
    """Processes on this machine, one thread each, that go through the scenarios together."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command = [num_processes, WORKER, store, folder, json.dumps(scenarios)]
    arguments, environment = [*launcher, *map(str, command)], {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, text=True, env=environment, **pipes) as process:
        try:
            stdout, stderr = process.communicate(timeout=200)
        finally:
            # Killed, it would leave its processes behind; terminated, it takes them with it.
            process.terminate()
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def losses_of(run: Path) -> dict[int, dict[str, float]]:
    """By step, what is a loss or follows from one."""
    names = ("loss", "teacher_forcing_loss", "rollout_loss", "gradient_norm")
    lines = read_metrics(run / "metrics.jsonl")
    return {line["step"]: {n: line[n] for n in names} for line in lines if line["kind"] == "train"}


def assert_close(run: Path, other: Path) -> None:
    """Every loss, every weight and the evaluation within float32's rounding over six updates."""
    ours, theirs = losses_of(run), losses_of(other)
    assert ours.keys() == theirs.keys() == set(range(1, 7))
    for step, losses in ours.items():
        assert losses == pytest.approx(theirs[step], rel=2e-5), f"step {step}"
    weights, expected = (Checkpoint.load(path / "checkpoint.pt").model for path in (run, other))
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    evaluated, wanted = (json.loads((path / "evaluation.json").read_text()) for path in (run, other))
    assert evaluated["l1"] == pytest.approx(wanted["l1"], rel=1e-4)
    for name, errors in evaluated["baselines"].items():
        assert errors == pytest.approx(wanted["baselines"][name], rel=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def by_one(folder, tiny_store, tiny_recipe):
    """The whole run by one process."""
    train(tiny_recipe(), tiny_store, folder / "by-one", device="cpu")
    return folder / "by-one"


@pytest.fixture(scope="module")
def half_by_one(folder, tiny_store, tiny_recipe):
    """A run that one process was asked to stop after three updates."""

    def stop(progress):
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(tiny_recipe(), tiny_store, folder / "half", device="cpu", on_progress=stop).step == 3
    return folder / "half"


@pytest.fixture(scope="module")
def ended(folder, half_by_one, tiny_store, tiny_recipe):
    """`ended[name]`: how each scenario ended in the processes 0 and 1; all in one launch, as imports cost."""
    shutil.copytree(half_by_one, folder / "one-to-two")
    shutil.copytree(half_by_one, folder / "another-recipe")
    whole = tiny_recipe().to_json()
    scenarios = {
        "whole": {"run": "by-two", "recipe": whole},
        "one to two": {"run": "one-to-two", "recipe": whole},
        # Each process takes one micro-batch an update, counted from 0: `at` is the number of the update.
        "stopped": {"run": "stopped", "recipe": whole, "event": "sigterm", "rank": 1, "at": 2},
        "two to two": {"run": "stopped", "recipe": whole},
        "two to one": {"run": "two-to-one", "recipe": whole, "event": "sigterm", "rank": 1, "at": 2},
        "nan": {"run": "nan", "recipe": whole, "event": "nan", "rank": 1, "at": 1},
        "another recipe": {"run": "another-recipe", "recipe": tiny_recipe(seed=1).to_json()},
        "odd batch": {"run": "odd", "recipe": tiny_recipe(batch_clips=5, micro_batch_clips=1).to_json()},
        "exchanges": {},
    }
    launched = torchrun(2, tiny_store, folder, scenarios)
    assert launched.returncode == 0, launched.stderr
    return {
        name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]
        for name in scenarios
    }


def test_two_processes_train_the_run_of_one(ended, by_one, folder):
    first, second = ended["whole"]
    assert first["step"] == second["step"] == 6
    assert_close(folder / "by-two", by_one)


def test_the_first_update_of_two_processes_is_that_of_one_to_the_last_bits(ended, by_one, folder):
    two, one = losses_of(folder / "by-two")[1], losses_of(by_one)[1]
    assert two == pytest.approx(one, rel=3e-7)


def test_both_processes_end_with_the_same_bits_and_the_same_result(ended):
    first, second = ended["whole"]
    assert first["weights"] == second["weights"]
    assert first["evaluation"] == second["evaluation"] is not None


def test_one_process_alone_keeps_the_folder_and_tells_progress(ended, by_one, folder):
    first, second = ended["whole"]
    assert (first["told"], second["told"]) == (6, 0)
    two, one = (read_metrics(run / "metrics.jsonl") for run in (folder / "by-two", by_one))
    assert [(line["kind"], line["step"]) for line in two] == [(line["kind"], line["step"]) for line in one]
    recipes = (json.loads((run / "recipe.json").read_text()) for run in (folder / "by-two", by_one))
    assert next(recipes) == next(recipes)


def test_gradients_are_exchanged_once_an_update(ended):
    for process in ended["exchanges"]:
        assert process["exchanges"] == 1
        assert process["gradient"] == pytest.approx((0 + 1 + 2 + 1 + 2 + 3) / 6)
    first, second = ended["exchanges"]
    assert first["loss"] == second["loss"]


def test_a_signal_to_one_process_stops_both_after_the_same_update(ended, folder):
    first, second = ended["stopped"]
    assert (first["step"], second["step"]) == (3, 3)
    assert first["evaluation"] is second["evaluation"] is None
    assert first["weights"] == second["weights"]
    assert Checkpoint.load(folder / "two-to-one" / "checkpoint.pt").step == 3


def test_two_processes_resume_the_run_of_two_bit_for_bit(ended, folder):
    assert [process["step"] for process in ended["two to two"]] == [6, 6]
    assert losses_of(folder / "stopped") == losses_of(folder / "by-two")
    resumed, whole = (Checkpoint.load(folder / name / "checkpoint.pt") for name in ("stopped", "by-two"))
    assert all(torch.equal(value, whole.model[name]) for name, value in resumed.model.items())


def test_two_processes_resume_the_run_of_one(ended, by_one, folder):
    first, second = ended["one to two"]
    assert first["weights"] == second["weights"]
    assert_close(folder / "one-to-two", by_one)


def test_one_process_resumes_the_run_of_two(ended, by_one, folder, tiny_store, tiny_recipe):
    train(tiny_recipe(), tiny_store, folder / "two-to-one", device="cpu")
    assert_close(folder / "two-to-one", by_one)


def test_a_nan_in_one_process_stops_both_with_the_same_error_and_the_weights_before_it(ended, folder):
    first, second = ended["nan"]
    assert first["error"] == second["error"] == "NonFiniteLossError"
    assert first["message"] == second["message"]
    assert "Update 1 at" in first["message"]
    assert first["weights"] == second["weights"]
    assert Checkpoint.load(folder / "nan" / "checkpoint.pt").step == 0


def test_an_error_of_the_process_that_keeps_the_folder_reaches_the_other(ended):
    first, second = ended["another recipe"]
    assert (first["error"], second["error"]) == ("RunMismatchError", "OtherProcessError")
    assert first["message"] == second["message"]
    assert "seed: run has 0, asked for 1" in first["message"]


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_written(ended, folder):
    for process in ended["odd batch"]:
        assert process["error"] == "ShareError"
        assert "batch_clips 5 does not divide among 2 processes" in process["message"]
    assert not (folder / "odd").exists()


@pytest.fixture(scope="module")
def by_three(folder, tiny_store, tiny_recipe):
    """Three processes: with two, sums have no order. In the last scenario one of them is killed."""
    whole = tiny_recipe(batch_clips=6).to_json()
    scenarios = {
        "whole by three": {"run": "by-three", "recipe": whole},
        "stopped by three": {
            "run": "stopped-by-three",
            "recipe": whole,
            "event": "sigterm",
            "rank": 2,
            "at": 2,
        },
        "resumed by three": {"run": "stopped-by-three", "recipe": whole},
        "killed": {"run": "killed", "recipe": whole, "event": "sigkill", "rank": 1, "at": 3},
    }
    return torchrun(3, tiny_store, folder, scenarios)


def test_three_processes_resume_their_run_bit_for_bit(by_three, folder):
    assert json.loads((folder / "stopped by three-0.json").read_text())["step"] == 3
    assert losses_of(folder / "stopped-by-three") == losses_of(folder / "by-three")
    ends = [
        json.loads((folder / f"{name} by three-{rank}.json").read_text())["weights"]
        for name in ("whole", "resumed")
        for rank in range(3)
    ]
    assert all(end == ends[0] for end in ends)


def test_a_process_that_is_killed_takes_the_others_with_it(by_three, folder):
    assert by_three.returncode != 0
    left = json.loads((folder / "killed-0.json").read_text())
    assert left["error"] == "LostProcessError"
    assert "The same command continues from the last checkpoint" in left["message"]
    assert Checkpoint.load(folder / "killed" / "checkpoint.pt").step == 2
