"""A run is shown where a server runs, and done plainly where none does."""

import signal
import subprocess
import sys
import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from pipeline import running_ui
from pipeline.commands import as_flow
from pipeline.commands.as_flow import run_shown, run_step
from pipeline.running_ui import may_have_server
from train.metrics import read_metrics
from train.run_folder import RunFolder

LIMIT_SECONDS = 240
NOBODY = "http://127.0.0.1:1/api"


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "a-run")


@pytest.fixture
def command(make_store, tmp_path, run):
    few = [(16, "train"), (16, "train"), (11, "validation"), (11, "validation")]
    store = make_store(tmp_path / "store.zarr", trajectories=few)
    return ["train", "--store", store, "--run", run.path, "--preset", "demo", "--batch-clips", 4,
            "--clip-frames", 4, "--device", "cpu"]  # fmt: skip


def wait_for_updates(process, run, count):
    limit = time.monotonic() + LIMIT_SECONDS
    while len(read_metrics(run.metrics)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_signal_saves_the_run_and_cancels_its_flow_run(start_permafrost, command, run, prefect_api):
    process = start_permafrost(*command, "--steps", 100_000, PREFECT_API_URL=prefect_api)
    wait_for_updates(process, run, 3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, err
    last = read_metrics(run.metrics)[-1]["step"]
    said = f"Stopped after step {last} of 100000 and saved a checkpoint in {run.path}"
    assert said in err
    assert "not shown in Prefect" not in err
    state = state_of("fit a-run")
    assert state.is_cancelled()
    assert state.message.startswith(said)


def state_of(name):
    with get_client(sync_client=True) as client:
        return max((r for r in client.read_flow_runs() if r.name == name), key=lambda r: r.start_time).state


def test_training_plainly_does_not_import_prefect():
    code = "import sys, pipeline.steps.fit, pipeline.commands.as_flow; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_configured_server_that_does_not_answer_is_named_and_done_without(monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        assert run_step(lambda request: f"did {request}", "fit_flow", "it") == "did it"
    assert f"Not shown in Prefect: No Prefect server answers at {NOBODY}" in capsys.readouterr().err


def test_a_flow_that_a_dead_server_cannot_begin_is_done_plainly(capsys):
    with temporary_settings({PREFECT_API_URL: NOBODY, PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert run_shown(flow(lambda request: 1 / 0), lambda request: f"did {request}", "it") == "did it"
    assert "Not shown in Prefect, which cannot begin the flow: " in capsys.readouterr().err


def test_what_stops_a_step_stops_its_command_as_it_is(prefect_api):
    class OutOfLuckError(Exception):
        pass

    def fail(request: str) -> None:
        raise OutOfLuckError(request)

    with pytest.raises(OutOfLuckError, match="today"):
        run_shown(flow(fail), lambda request: "never called", "today")


def test_of_several_processes_the_first_alone_reports(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(as_flow, "may_have_server", lambda: pytest.fail("asked for a server"))
    assert run_step(lambda request: f"did {request}", "fit_flow", "its share") == "did its share"


@pytest.mark.parametrize(
    ("address", "has_profile", "ui", "expected"),
    [
        ("", False, None, False),
        (NOBODY, False, None, True),
        ("", True, None, True),
        ("", False, NOBODY, True),
    ],
)
def test_prefect_is_imported_only_where_a_server_may_run(
    monkeypatch, tmp_path, address, has_profile, ui, expected
):
    monkeypatch.setenv("PREFECT_API_URL", address)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setattr(running_ui, "running_ui", lambda: ui)
    if has_profile:
        (tmp_path / "profiles.toml").touch()
    assert may_have_server() is expected
