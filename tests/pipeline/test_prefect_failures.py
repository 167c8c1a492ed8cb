"""What may die around a flow: its server, or a worker in the middle of a slot. The store loses nothing."""

import re
import time

import psutil
import pytest

from store_schema.integrity import digest
from store_schema.store import Store
from store_schema.verify import verify_hashes

from ..featurize.build.builds import build_at, build_store
from .conftest import Threads
from .test_kill_featurize import wait_for_rows

LIMIT_SECONDS = 200
NUM_VIEWS = 3
NUM_SLOTS = 21


@pytest.fixture(scope="module")
def whole_digest(source, tmp_path_factory):
    """Of the store that nothing disturbed."""
    build = build_at(tmp_path_factory.mktemp("failures") / "whole.zarr", source, num_views=NUM_VIEWS)
    build_store(build)
    return digest(build.store)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.zarr"


@pytest.fixture
def command(source, store):
    return ["featurize", "--source", source, "--store", store, "--num-views", NUM_VIEWS, "--workers", 1]


@pytest.fixture
def finish(permafrost, command, store, whole_digest, monkeypatch, prefect_api):
    """The same command again, in this process, completes the store."""

    def run():
        monkeypatch.setattr("pipeline.workers.Workers", Threads)
        code, _, err = permafrost(*command)
        assert code == 0, err
        assert digest(store) == whole_digest

    return run


def test_a_flow_whose_server_is_killed_ends_by_itself_and_names_the_slots_that_are_left(
    start_permafrost, command, store, finish
):
    few_tries = {"PREFECT_CLIENT_MAX_RETRIES": "2"}
    process = start_permafrost(*command, PREFECT_API_URL="", **few_tries)
    wait_for_rows(process, store, 2)
    (server,) = [p for p in psutil.Process(process.pid).children() if "uvicorn" in p.cmdline()]
    server.kill()
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    (said,) = re.findall(r"permafrost: (.*)", err)
    assert re.search(
        r"the Prefect server at http://127\.0\.0\.1:\d+/api stopped answering: \[Errno 111\] ", said
    )
    assert re.search("slots failed: [0-9]|The store keeps what is done", said)
    assert "un the same command again" in said
    assert list(verify_hashes(store)) == []
    finish()


def test_a_worker_that_is_killed_in_the_middle_of_a_slot_is_replaced_and_the_same_run_completes(
    start_permafrost, command, store, prefect_api, whole_digest
):
    process = start_permafrost(*command, PREFECT_API_URL=prefect_api)
    kill_worker_in_a_slot(process, store)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, err
    assert digest(store) == whole_digest


def test_a_batch_that_kills_its_worker_too_often_is_named_by_its_slots(
    start_permafrost, command, store, prefect_api, finish
):
    once_is_too_often = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    process = start_permafrost(*command, PREFECT_API_URL=prefect_api, **once_is_too_often)
    kill_worker_in_a_slot(process, store)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    missing = Store.open(store).missing_slots()
    # Dask counts the death against the batch that waits on that worker too; the third one went on.
    assert 1 <= len(missing) <= 16
    assert (
        f"{len(missing)} of {NUM_SLOTS} slots failed: {', '.join(map(str, missing))}. Causes: the worker "
        "process died, at 1 of 1 tries: killed, or out of memory. Run the same command again"
    ) in err
    finish()


def kill_worker_in_a_slot(process, store):
    """SIGKILL to the one Dask worker while a file of a slot has its temporary name."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not any(store.glob("latents/c/**/*.partial")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
    (worker,) = [p for p in psutil.Process(process.pid).children() if is_dask_worker(p)]
    worker.kill()


def is_dask_worker(process):
    return "spawn_main" in " ".join(process.cmdline())
