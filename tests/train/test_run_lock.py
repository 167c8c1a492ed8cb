"""Two trainers on one run: the second is told who trains it, and changes nothing."""

import os
import subprocess
import sys

import pytest

from store_schema.errors import StoreHeldError
from train.trainer import train

_HOLDER = """
import sys
from pathlib import Path
from train.run_folder import RunFolder

with RunFolder(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the run `tmp_path/run`, as a trainer does while it trains."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_trainer_is_told_who_trains_the_run_and_trains_once_that_is_gone(
    holder, tiny_store, tiny_recipe, tmp_path
):
    run = tmp_path / "run"
    before = sorted(run.iterdir())
    message = (
        rf"^Run run is being trained by process {holder.pid} on host .*\. Wait for it, stop it, or give "
    )
    with pytest.raises(StoreHeldError, match=message):
        train(tiny_recipe(), tiny_store, run, device="cpu")
    assert sorted(run.iterdir()) == before
    holder.kill()
    holder.wait()
    assert train(tiny_recipe(), tiny_store, run, device="cpu").evaluation is not None


def test_a_trainer_holds_its_run_until_it_returns(tiny_store, tiny_recipe, tmp_path):
    run = tmp_path / "run"
    refused = []

    def try_to_hold(progress):
        if progress.step == 1:
            command = [sys.executable, "-c", _HOLDER, str(run)]
            refused.append(subprocess.run(command, input="", capture_output=True, text=True, check=False))

    train(tiny_recipe(), tiny_store, run, device="cpu", on_progress=try_to_hold)
    (second,) = refused
    assert f"StoreHeldError: Run run is being trained by process {os.getpid()} on host " in second.stderr
    assert not (run / "lock.json").exists()
