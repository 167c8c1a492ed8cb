"""A run is killed in its own process, by a real signal, and continued here: same losses, same weights."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from train.checkpoint import Checkpoint
from train.metrics import read_metrics
from train.trainer import train

_CHILD = """
import json, os, signal, sys
from pathlib import Path
import torch
from train.recipe import TrainRecipe
from train.trainer import train

recipe, store, run, number, step = json.loads(sys.argv[1]), *sys.argv[2:]
torch.set_num_threads(int(sys.stdin.readline()))

def send_signal(progress):
    if progress.step == int(step):
        os.kill(os.getpid(), int(number))

recipe = TrainRecipe.from_json(recipe)
print(train(recipe, Path(store), Path(run), device="cpu", on_progress=send_signal).outcome)
"""


def train_until_signal(recipe, store: Path, run: Path, number: signal.Signals, step: int):
    """Train in a process that sends itself the signal after `step` updates."""
    arguments = [json.dumps(recipe.to_json()), str(store), str(run), str(int(number)), str(step)]
    return subprocess.run(
        [sys.executable, "-c", _CHILD, *arguments],
        input=f"{torch.get_num_threads()}\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def what_must_be_equal(run: Path) -> list[dict[str, object]]:
    """All lines of the metrics without the two that are about time."""
    timed = ("data_wait_share", "clips_per_second")
    return [{k: v for k, v in line.items() if k not in timed} for line in read_metrics(run / "metrics.jsonl")]


def assert_same_run(run: Path, uninterrupted: Path) -> None:
    assert what_must_be_equal(run) == what_must_be_equal(uninterrupted)
    ours, theirs = (Checkpoint.load(path / "checkpoint.pt") for path in (run, uninterrupted))
    assert all(torch.equal(value, theirs.model[name]) for name, value in ours.model.items())
    for parameter, state in ours.optimiser["state"].items():
        assert all(
            torch.equal(value, theirs.optimiser["state"][parameter][name]) for name, value in state.items()
        )
    assert (run / "evaluation.json").read_text() == (uninterrupted / "evaluation.json").read_text()


@pytest.fixture(scope="module")
def uninterrupted(tiny_store, tiny_recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(tiny_recipe(), tiny_store, path, device="cpu")
    return path


@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_run_killed_and_resumed_is_bit_identical(
    tiny_store, tiny_recipe, uninterrupted, tmp_path, killed_after
):
    """Checkpoints are due after 2, 4 and 6 updates: the kill costs one update, which is then done again."""
    run = tmp_path / "run"
    child = train_until_signal(tiny_recipe(), tiny_store, run, signal.SIGKILL, killed_after)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert Checkpoint.load(run / "checkpoint.pt").step == killed_after - 1
    assert read_metrics(run / "metrics.jsonl")[-1]["step"] == killed_after
    assert train(tiny_recipe(), tiny_store, run, device="cpu").step == 6
    assert_same_run(run, uninterrupted)


def test_a_run_asked_to_stop_saves_says_how_to_go_on_and_goes_on(
    tiny_store, tiny_recipe, uninterrupted, tmp_path
):
    run = tmp_path / "run"
    child = train_until_signal(tiny_recipe(), tiny_store, run, signal.SIGTERM, 3)
    assert child.returncode == 0, child.stderr
    assert "Stopped after step 3 of 6 and saved a checkpoint in " in child.stdout
    assert "the same command continues from there" in child.stdout
    assert Checkpoint.load(run / "checkpoint.pt").step == 3
    assert not (run / "evaluation.json").exists()
    assert train(tiny_recipe(), tiny_store, run, device="cpu").evaluation is not None
    assert_same_run(run, uninterrupted)


def stopped_after_two(recipe, store: Path, run: Path) -> None:
    def stop(progress):
        if progress.step == 2:
            signal.raise_signal(signal.SIGTERM)

    assert train(recipe, store, run, device="cpu", on_progress=stop).step == 2


def test_a_resumed_run_keeps_its_micro_batch_bit_for_bit(tiny_store, tiny_recipe, uninterrupted, tmp_path):
    """The recipe asked for may come from another default, or from the memory of another GPU."""
    stopped_after_two(tiny_recipe(), tiny_store, tmp_path / "run")
    train(tiny_recipe(micro_batch_clips=4), tiny_store, tmp_path / "run", device="cpu")
    assert_same_run(tmp_path / "run", uninterrupted)
    assert Checkpoint.load(tmp_path / "run" / "checkpoint.pt").recipe == tiny_recipe().to_json()


def test_a_run_goes_on_with_another_micro_batch_where_one_is_asked_for(
    tiny_store, tiny_recipe, uninterrupted, tmp_path
):
    stopped_after_two(tiny_recipe(), tiny_store, tmp_path / "run")
    train(tiny_recipe(), tiny_store, tmp_path / "run", device="cpu", micro_batch_clips=1)
    ours, theirs = (
        [line["loss"] for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "train"]
        for run in (tmp_path / "run", uninterrupted)
    )
    assert ours[:2] == theirs[:2]
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert Checkpoint.load(tmp_path / "run" / "checkpoint.pt").recipe["micro_batch_clips"] == 1
