"""Runs that `permafrost serve` has started, and one beside it, as real processes: stopped, or left alone."""

import json
import signal
import socket
import time

import pytest
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from train.metrics import read_metrics
from train.run_folder import RunFolder

LIMIT_SECONDS = 240
# Two trainings at once on two cores would mostly wait for each other's threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server process that the last test kills, with a database of its own."""
    with temporary_settings({PREFECT_HOME: tmp_path_factory.mktemp("home")}):
        # Of its own: without a port it is the one that the other tests report to.
        server = SubprocessASGIServer(port=free_port())
        server.start(timeout=LIMIT_SECONDS)
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield server
    server.stop()


@pytest.fixture
def serving(start_permafrost, server):
    """`permafrost serve`, ready for the run button."""
    process = start_permafrost("serve", PREFECT_API_URL=server.api_url, **ONE_THREAD)
    assert "Serving featurize, index, " in process.stderr.readline()
    return process


@pytest.fixture
def store(make_store, tmp_path):
    few = [(16, "train"), (16, "train"), (11, "validation"), (11, "validation")]
    return make_store(tmp_path / "store.zarr", trajectories=few)


@pytest.fixture
def fit(store, tmp_path):
    """Starts the step as the run button does; returns the run's folder once it trains."""
    run = RunFolder(tmp_path / "served")
    options = {"preset": "demo", "batch_clips": 4, "clip_frames": 4, "device": "cpu"}

    def start(**more):
        parameters = {"store": str(store), "run": str(run.path), **options, **more}
        run_deployment("fit/fit", parameters=parameters, timeout=0, as_subflow=False)
        wait_until(lambda: len(read_metrics(run.metrics)) >= 3)
        return run

    return start


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def wait_until(condition):
    limit = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def evaluated_step(run):
    return json.loads(run.evaluation.read_text())["measured_on"]["checkpoint_step"]


def test_the_server_refuses_parameters_by_name_and_what_is_stopped_is_saved_first(serving, fit):
    with pytest.raises(PrefectHTTPStatusError) as refused:
        run_deployment("evaluate/evaluate", parameters={"run": "a", "samples": 1}, as_subflow=False)
    assert "samples" in refused.value.response.text
    run = fit(steps=100_000)
    serving.send_signal(signal.SIGTERM)
    _, err = serving.communicate(timeout=LIMIT_SECONDS)
    assert serving.returncode == 0, err
    with get_client(sync_client=True) as client:
        (state,) = [one.state for one in client.read_flow_runs() if one.name == "fit served"]
    last = read_metrics(run.metrics)[-1]["step"]
    assert state.message.startswith(f"Stopped after step {last} of 100000 and saved a checkpoint")


def test_a_server_that_is_killed_costs_no_training_that_is_shown_there(
    serving, fit, server, start_permafrost, store, tmp_path
):
    own = RunFolder(tmp_path / "own")
    settings = {"PREFECT_API_URL": server.api_url, "PREFECT_CLIENT_MAX_RETRIES": "1", **ONE_THREAD}
    command = start_permafrost(
        "train", "--store", store, "--run", own.path, "--preset", "demo", "--steps", 300, "--batch-clips", 4,
        "--clip-frames", 4, "--device", "cpu", **settings,
    )  # fmt: skip
    run = fit(steps=60)
    wait_until(lambda: len(read_metrics(own.metrics)) >= 3)
    server.server_process.kill()
    _, err = command.communicate(timeout=LIMIT_SECONDS)
    assert command.returncode == 0, err
    assert "How it ended is not shown in Prefect: " in err
    assert "Finished all 300 steps" in err
    wait_until(run.evaluation.is_file)
    assert (evaluated_step(own), evaluated_step(run)) == (300, 60)
    assert serving.poll() is None
