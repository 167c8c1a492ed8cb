"""Two processes at one store: no slot is encoded twice, and where one is killed the other's work goes on."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack

import pytest

from featurize.calibrate import calibrate
from featurize.encode import encode, encode_unclaimed, join, pending_slots
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan as plan_store
from store_schema.claims import Claims, is_claimed
from store_schema.errors import StoreHeldError
from store_schema.integrity import digest
from store_schema.ledger import settled_slots

from .builds import build_at, copied, prepare

LIMIT_SECONDS = 120.0
ALL_SLOTS = set(range(14))


@pytest.fixture(scope="module")
def plan(source, tmp_path_factory):
    """Two views of the six episodes: 14 slots, none of them encoded; not to be changed."""
    return prepare(build_at(tmp_path_factory.mktemp("join") / "plan.zarr", source, num_views=2))


@pytest.fixture(scope="module")
def digest_of_one(plan, encoder, tmp_path_factory):
    """Of the store that one process builds alone."""
    build = copied(plan, tmp_path_factory.mktemp("join") / "whole.zarr")
    assert encode(build, encoder) == len(ALL_SLOTS)
    return sealed_digest(build)


@pytest.fixture
def build(plan, tmp_path):
    return copied(plan, tmp_path / "store.zarr")


@pytest.fixture
def start():
    """`start(step, *arguments)` runs a step in a process of its own: its number, and its result to come."""
    # Tensorstore must not be forked, and a fresh interpreter a process would take the time of the test.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["featurize.encode"])
    with ExitStack() as stack:

        def start(step, *arguments):
            pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
            return pool.submit(os.getpid).result(), pool.submit(step, *arguments)

        yield start


def sealed_digest(build):
    finalise(build)
    return digest(build.store)


def wait_until(condition):
    limit = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def claimed_slots(build):
    return {slot for slot in pending_slots(build) if is_claimed(build.store, slot)}


def stop_at_work(process, build):
    """Stop a process while it is at work on slots; gives those, and no others can follow."""
    wait_until(lambda: claimed_slots(build))
    os.kill(process, signal.SIGSTOP)
    claimed = claimed_slots(build)
    assert claimed, "it was stopped between two slots; the test shows nothing"
    return claimed


def end(process, result):
    """kill -9, also of a stopped process."""
    os.kill(process, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        result.result(LIMIT_SECONDS)


def test_two_processes_encode_every_slot_once_and_the_store_is_that_of_one(
    start, build, encoder, digest_of_one
):
    joiner, joined = start(join, build, encoder)
    claimed = stop_at_work(joiner, build)
    _, first = start(encode, build, encoder)
    wait_until(lambda: settled_slots(build.store) - claimed)
    os.kill(joiner, signal.SIGCONT)
    counts = first.result(LIMIT_SECONDS), joined.result(LIMIT_SECONDS)
    print("slots of the first build and of the one that joined:", counts)
    # A slot that both had encoded would be counted twice.
    assert sum(counts) == len(ALL_SLOTS)
    assert min(counts) > 0
    assert sealed_digest(build) == digest_of_one
    assert not (build.store / "build/claims").exists()


def test_the_first_build_waits_for_a_joiner_and_does_its_slots_when_it_dies(
    start, build, encoder, digest_of_one
):
    joiner, joined = start(join, build, encoder)
    claimed = stop_at_work(joiner, build)
    by_joiner = settled_slots(build.store)
    _, first = start(encode, build, encoder)
    wait_until(lambda: settled_slots(build.store) == ALL_SLOTS - claimed)
    assert not first.done()
    end(joiner, joined)
    assert first.result(LIMIT_SECONDS) == len(ALL_SLOTS - by_joiner)
    assert sealed_digest(build) == digest_of_one


def test_a_joiner_ends_beside_a_dead_first_build_and_running_that_again_completes_the_store(
    start, build, encoder, digest_of_one, caplog
):
    first, killed = start(encode, build, encoder)
    claimed = stop_at_work(first, build)
    by_first = settled_slots(build.store)
    _, joined = start(join, build, encoder)
    assert joined.result(LIMIT_SECONDS) == len(ALL_SLOTS - claimed - by_first)
    assert settled_slots(build.store) == ALL_SLOTS - claimed
    steps = {index: (), plan_store: (encoder,), calibrate: (encoder,), encode: (encoder,), finalise: ()}
    for step, arguments in steps.items():
        with pytest.raises(StoreHeldError, match=f"being built by process {first} on host "):
            step(build, *arguments)
    end(first, killed)
    assert encode(build, encoder) == len(claimed)
    assert f"The last to work here, process {first} on host " in caplog.text
    assert sealed_digest(build) == digest_of_one


def test_a_worker_leaves_out_slots_that_are_claimed_or_settled(build, encoder):
    with Claims(build.store) as claims:
        assert list(claims.take([3])) == [3]
        assert encode_unclaimed(build, encoder, [2, 3]) == 1
        assert list(claims.take([2, 3, 4])) == [4]
    assert settled_slots(build.store) == {2}
    assert claimed_slots(build) == set()


def test_a_joiner_begins_at_the_other_end(build, encoder, monkeypatch):
    order = []
    monkeypatch.setattr(
        "featurize.encode.encode_slots", lambda build, encoder, slots: order.extend(slots) or ()
    )
    monkeypatch.setattr("featurize.encode.free_slots", lambda build: [] if order else [4, 5, 6])
    join(build, encoder)
    assert order == [6, 5, 4]
