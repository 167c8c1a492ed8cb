"""An append that is stopped after any single write, or killed at any moment, and called again."""

import multiprocessing
import random
import shutil
import time

import pytest

from featurize.encode import encode
from featurize.finalise import finalise
from featurize.growth import is_begun
from featurize.index import index, indexed
from featurize.plan import plan
from store_schema.integrity import digest
from store_schema.store import Store

from ..droid_files import write_episode
from .builds import copied
from .growing import (
    NUM_OLD_SLOTS,
    differing_files,
    featurize,
    grown_source,
    slot_files,
    stop_after,
    window_hashes,
)

NUM_KILLS = 6
SEED = 20261121
LIMIT_SECONDS = 120.0


@pytest.fixture(scope="module")
def steps(finished, source, encoder, tmp_path_factory):
    """The finished store with three more episodes in its source, after each step of an append, by name."""
    folder = tmp_path_factory.mktemp("growing")
    build = copied(finished, folder / "now.zarr", source_root=grown_source(source, folder / "source"))
    after = {"nothing": copied(build, folder / "nothing.zarr")}
    calls = {
        "index": lambda: index(build, new_only=True),
        "plan": lambda: plan(build, encoder),
        "encode": lambda: encode(build, encoder),
        "finalise": lambda: finalise(build),
    }
    for name, call in calls.items():
        call()
        after[name] = copied(build, folder / f"{name}.zarr")
    return after


@pytest.fixture(scope="module")
def first_windows(finished):
    return window_hashes(Store.open(finished.store))


def require_first_revision(build, first_windows):
    """The store opens in whatever state it is, and all that was sealed reads as it did."""
    store = Store.open(build.store)
    assert differing_files(store) == []
    sealed = store.sealed_view()
    assert sealed.attributes.sealed
    assert sealed.missing_slots() == []
    assert window_hashes(sealed)[: len(first_windows)] == first_windows
    return store.attributes


def stopped_everywhere(build, call, folder):
    """Copies of the build in which `call` was stopped after 0, 1, 2, ... writes, until it needs no more."""
    for num_writes in range(100):
        copy = copied(build, folder / f"{num_writes}.zarr")
        try:
            with stop_after(num_writes):
                call(copy)
        except KeyboardInterrupt:
            yield copy
            shutil.rmtree(copy.store)
        else:
            return


def test_index_stopped_after_any_write(steps, first_windows, tmp_path):
    num_stops = 0
    for build in stopped_everywhere(steps["nothing"], lambda b: index(b, new_only=True), tmp_path):
        require_first_revision(build, first_windows)
        if indexed(build) is None:
            index(build, new_only=True)
        for name in ("episodes.parquet", "rejects.parquet"):
            assert (build.folder / name).read_bytes() == (steps["index"].folder / name).read_bytes()
        num_stops += 1
    assert num_stops == 3


def test_plan_stopped_after_any_write(steps, encoder, first_windows, tmp_path):
    states = []
    for build in stopped_everywhere(steps["index"], lambda b: plan(b, encoder), tmp_path):
        attributes = require_first_revision(build, first_windows)
        states.append((attributes.sealed, attributes.revision, attributes.num_slots))
        assert indexed(build) is not None
        assert plan(build, encoder).num_trajectories == 9
        assert digest(build.store) == digest(steps["plan"].store)
    # Each of: begun, table, ten arrays, counted.
    assert states == [(True, 1, 7), *[(False, 2, 7)] * 12]


def test_taking_an_append_back_stopped_after_any_write(steps, encoder, finished, first_windows, tmp_path):
    begun = copied(steps["index"], tmp_path / "begun.zarr")
    with stop_after(4), pytest.raises(KeyboardInterrupt):
        plan(begun, encoder)
    # As if the new episodes had vanished from the source.
    for name in ("episodes.parquet", "rejects.parquet"):
        shutil.copy(finished.folder / name, begun.folder / name)
    num_stops = 0
    for build in stopped_everywhere(begun, lambda b: plan(b, encoder), tmp_path):
        assert is_begun(require_first_revision(build, first_windows))
        plan(build, encoder)
        assert digest(build.store) == digest(finished.store)
        num_stops += 1
    assert num_stops == 13


def test_finalise_stopped_after_any_write(steps, first_windows, tmp_path):
    num_stops = 0
    for build in stopped_everywhere(steps["encode"], finalise, tmp_path):
        assert require_first_revision(build, first_windows).revision == 2
        finalise(build)
        assert digest(build.store) == digest(steps["finalise"].store)
        num_stops += 1
    assert num_stops == 3


def progress_of(build):
    """Changes whenever a step has come further."""
    marks = [build.folder / "episodes.parquet", build.store / "zarr.json", build.store / "ledger.parquet"]
    rows = sorted(path.name for path in (build.store / "ledger").glob("*.json"))
    return [mark.stat().st_mtime_ns for mark in marks], rows


def killed_on_its_way(context, build, encoder, seconds):
    """Exit code of a process that is killed so long after it has come a step further."""
    before, limit = progress_of(build), time.monotonic() + LIMIT_SECONDS
    process = context.Process(target=featurize, args=(build, encoder))
    process.start()
    while process.is_alive() and progress_of(build) == before:
        assert time.monotonic() < limit
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join(LIMIT_SECONDS)
    return process.exitcode


def test_an_append_killed_again_and_again_ends_as_one_that_was_not(steps, encoder, first_windows, tmp_path):
    build, moments = copied(steps["nothing"], tmp_path / "killed.zarr"), random.Random(SEED)
    old_slots = slot_files(build.store, range(NUM_OLD_SLOTS))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["featurize.encode"])
    seen = []
    for _ in range(NUM_KILLS):
        exitcode = killed_on_its_way(context, build, encoder, moments.uniform(0.0, 0.1))
        attributes = require_first_revision(build, first_windows)
        settled = len(Store.open(build.store).ledger)
        seen.append((exitcode, attributes.revision, attributes.num_slots, settled))
    print("exit code, revision, slots, settled slots after each kill:", seen)
    assert [exitcode for exitcode, *_ in seen[:3]] == [-9, -9, -9]
    featurize(build, encoder)
    assert digest(build.store) == digest(steps["finalise"].store)
    assert slot_files(build.store, range(NUM_OLD_SLOTS)) == old_slots


def test_index_stopped_between_its_tables_leaves_no_mended_episode_among_the_rejects(
    finished, source, encoder, tmp_path
):
    own = shutil.copytree(source, tmp_path / "source")
    build = copied(finished, tmp_path / "mended.zarr", source_root=own)
    video = write_episode(own / "broken", uuid="LAB+broken").video
    whole = video.read_bytes()
    video.write_bytes(whole[:-2000])
    assert index(build).rejects == {"video_unreadable": 1}
    video.write_bytes(whole)
    with stop_after(1), pytest.raises(KeyboardInterrupt):
        index(build)
    report = featurize(build, encoder)
    assert (report.revision, report.num_episodes, report.rejects) == (2, 7, {})
