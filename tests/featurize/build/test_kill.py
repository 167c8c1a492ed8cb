"""kill -9 at any moment of `encode`, then the same call: the same store, and nothing is done twice."""

import multiprocessing
import random
import time
from multiprocessing import forkserver

import pytest

from featurize.encode import encode, pending_slots
from featurize.finalise import finalise
from store_schema.integrity import digest
from store_schema.verify import verify_hashes

NUM_KILLS = 6
SEED = 20261121
LIMIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def processes():
    """Tensorstore must not be forked, and a fresh interpreter a round would take the time of the test."""
    context = multiprocessing.get_context("forkserver")
    # What earlier tests forked their readers from knows nothing of torch.
    forkserver._forkserver._stop()
    context.set_forkserver_preload(["featurize.encode"])
    return context


def rows_on_disk(build):
    return {path.name: path.stat().st_mtime_ns for path in (build.store / "ledger").glob("*.json")}


def start(processes, build, encoder):
    """A process that has begun to write its first slot."""
    before = set((build.store / "latents").rglob("*"))
    process = processes.Process(target=encode, args=(build, encoder))
    process.start()
    limit = time.monotonic() + LIMIT_SECONDS
    while process.is_alive() and set((build.store / "latents").rglob("*")) == before:
        assert time.monotonic() < limit
        time.sleep(0.001)
    return process


def kill_after(process, seconds):
    time.sleep(seconds)
    process.kill()
    process.join(LIMIT_SECONDS)
    return process.exitcode


def test_a_build_killed_again_and_again_ends_as_one_that_was_not(processes, make_prepared, encoder, finished):
    build, moments = make_prepared(), random.Random(SEED)
    killed_with = []
    for _ in range(NUM_KILLS):
        settled = rows_on_disk(build)
        exitcode = kill_after(start(processes, build, encoder), moments.uniform(0.0, 0.15))
        # Rows of earlier rounds are neither written again nor lost.
        assert settled.items() <= rows_on_disk(build).items()
        assert list(verify_hashes(build.store)) == []
        killed_with.append((exitcode, len(rows_on_disk(build))))
    settled, left = rows_on_disk(build), pending_slots(build)
    print("exit code and settled slots after each kill:", killed_with)
    assert killed_with[0][0] == -9
    assert killed_with[0][1] < 7, "the first kill came too late to show anything"
    assert encode(build, encoder) == len(left) == 7 - len(settled)
    assert settled.items() <= rows_on_disk(build).items()
    finalise(build)
    assert digest(build.store) == digest(finished.store)
    assert not list(build.store.rglob("*.partial"))


def test_a_process_of_its_own_encodes_the_same_bytes(processes, make_prepared, encoder, finished):
    build = make_prepared()
    process = start(processes, build, encoder)
    process.join(LIMIT_SECONDS)
    assert process.exitcode == 0
    finalise(build)
    assert digest(build.store) == digest(finished.store)
