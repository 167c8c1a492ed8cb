"""Two commands at one store: the second is told at once who builds it, or joins it."""

import json
import re
import signal
import time

import psutil
import pytest

from featurize.encoders import encoder_of
from store_schema.integrity import digest
from store_schema.locks import hold_store
from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store, planned, prepare
from .conftest import Threads

LIMIT_SECONDS = 240.0
NUM_SLOTS = 7


def wait_for(process, store, pattern):
    limit = time.monotonic() + LIMIT_SECONDS
    while not list(store.glob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_second_featurize_stops_at_once_and_a_killed_first_one_leaves_nothing_locked(
    start_permafrost, prefect_api, source, tmp_path, caplog
):
    store = tmp_path / "store.zarr"
    prepare(build_at(store, source, num_views=3))
    command = ["featurize", "--source", source, "--store", store, "--workers", 1]
    first = start_permafrost(*command, PREFECT_API_URL=prefect_api)
    wait_for(first, store, "build/lock.json")
    # Or it might be done before the second has begun.
    first.send_signal(signal.SIGSTOP)
    second = start_permafrost(*command, PREFECT_API_URL="")
    _, messages = second.communicate(timeout=LIMIT_SECONDS)
    assert second.returncode == 1
    # No "Prefect API" before it: no server was started for this.
    assert re.fullmatch(
        rf"permafrost: Store store\.zarr is being built by process {first.pid} on host \S+ since \S+ \S+ "
        r"\(cli\.py featurize --source .*\)\. Wait for it, stop it, or work on other slots with --join\.\n",
        messages,
    )
    first.send_signal(signal.SIGCONT)
    wait_for(first, store, "ledger/*.json")
    children = psutil.Process(first.pid).children(recursive=True)
    assert children
    first.kill()
    first.wait()
    # At once, whether its workers still live or not.
    with hold_store(store):
        assert f"The last to work here, process {first.pid} on host " in caplog.text
    psutil.wait_procs(children, timeout=LIMIT_SECONDS)


def test_join_encodes_slots_and_leaves_the_rest_to_the_first_build(
    permafrost, prefect_api, source, tmp_path, monkeypatch
):
    whole, store = (build_at(tmp_path / name, source) for name in ("whole.zarr", "store.zarr"))
    build_store(whole)
    prepare(store)
    monkeypatch.setattr("pipeline.workers.Workers", Threads)
    command = ["featurize", "--source", source, "--store", store.store, "--json"]
    code, output, messages = permafrost(*command, "--join")
    assert code == 0, messages
    status = json.loads(output)
    assert (status["slots_done"], status["sealed"]) == (NUM_SLOTS, False)
    assert permafrost(*command)[0] == 0
    assert Store.open(store.store).attributes.sealed
    assert digest(store.store) == digest(whole.store)


@pytest.mark.parametrize("option", ["--join", "--repair"])
def test_a_mistyped_store_is_told_and_does_not_become_a_folder(permafrost, source, tmp_path, option):
    code, _, messages = permafrost("featurize", "--source", source, "--store", tmp_path / "s.zarr", option)
    assert code == 1
    assert "There is no feature store at " in messages
    assert not (tmp_path / "s.zarr").exists()


def test_join_needs_a_store_that_has_been_calibrated(permafrost, prefect_api, source, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.workers.Workers", Threads)
    store = build_at(tmp_path / "s.zarr", source)
    planned(store, encoder_of(store))
    code, _, messages = permafrost("featurize", "--source", source, "--store", store.store, "--join")
    assert code == 1
    assert (
        "The store has no channel statistics; run `permafrost featurize --step calibrate` first" in messages
    )


def test_join_is_not_a_step(permafrost, source, tmp_path):
    command = ["featurize", "--source", source, "--store", tmp_path / "s.zarr", "--join", "--step", "encode"]
    code, _, messages = permafrost(*command)
    assert code == 1
    assert messages == (
        "permafrost: --step, --join and --repair are different things to do; give one of them.\n"
    )
