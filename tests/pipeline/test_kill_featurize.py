"""kill -9 of `permafrost featurize`, then the same command: the same store, and nothing encoded twice."""

import json
import os
import signal
import time

import psutil

from store_schema.integrity import digest
from store_schema.store import Store
from store_schema.verify import verify_hashes

from ..featurize.build.builds import build_at, build_store
from .conftest import Threads

LIMIT_SECONDS = 120.0
NUM_SLOTS = 21


def rows_on_disk(store):
    return {path.name: path.stat().st_mtime_ns for path in (store / "ledger").glob("*.json")}


def latents_on_disk(store, slots):
    """When the latents of these slots were written; unlike the rows, these files outlive `finalise`."""
    return {slot: (store / f"latents/c/{slot}/0/0").stat().st_mtime_ns for slot in slots}


def wait_for_rows(process, store, number):
    limit = time.monotonic() + LIMIT_SECONDS
    while len(rows_on_disk(store)) < number:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_killed_command_leaves_no_process_behind_and_is_finished_by_running_it_again(
    start_permafrost, permafrost, prefect_api, source, tmp_path, monkeypatch
):
    whole, store = tmp_path / "whole.zarr", tmp_path / "killed.zarr"
    build_store(build_at(whole, source, num_views=3))
    command = ["featurize", "--source", source, "--store", store, "--num-views", 3, "--workers", 1, "--json"]

    # First without a server, so that the command starts one; only the command itself is killed.
    first = start_permafrost(*command, PREFECT_API_URL="")
    wait_for_rows(first, store, 2)
    children = psutil.Process(first.pid).children(recursive=True)
    assert any("uvicorn" in " ".join(child.cmdline()) for child in children)
    first.kill()
    _, left_running = psutil.wait_procs(children, timeout=30)
    assert left_running == []
    after_first = rows_on_disk(store)

    # Then with a server, and with the whole process group.
    second = start_permafrost(*command, PREFECT_API_URL=prefect_api)
    wait_for_rows(second, store, len(after_first) + 2)
    os.killpg(second.pid, signal.SIGKILL)
    second.wait(30)
    after_second = rows_on_disk(store)
    written = latents_on_disk(store, Store.open(store).ledger)
    assert 2 <= len(after_first) < len(after_second) < NUM_SLOTS
    assert after_first.items() <= after_second.items()
    assert list(verify_hashes(store)) == []

    # Then left alone, in this process.
    monkeypatch.setattr("pipeline.workers.Workers", Threads)
    code, output, messages = permafrost(*command)
    assert code == 0, messages
    assert latents_on_disk(store, written) == written
    status = json.loads(output)
    assert (status["slots_done"], status["sealed"]) == (NUM_SLOTS, True)
    assert messages == f"Prefect API: {prefect_api}\n"
    assert digest(store) == digest(whole)
