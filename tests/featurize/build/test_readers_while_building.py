"""A store is opened and read to the end, again and again, while another process builds it."""

import hashlib
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan
from store_schema.batch import ClipBuffers
from store_schema.errors import StoreNotFoundError
from store_schema.layout import slot_path
from store_schema.reader import ClipReader
from store_schema.store import Store

from .builds import build_at

NUM_SLOTS = 14
NUM_TRAJECTORIES = 12


@pytest.fixture
def start_building(source, tmp_path, encoder):
    """`start_building()` runs all steps in another process: path of the store, and results to come."""
    # Tensorstore must not be forked.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:

        def start():
            build = build_at(tmp_path / "store.zarr", source, num_views=2)
            arguments = {index: (), plan: (encoder,), calibrate: (encoder,), encode: (encoder,), finalise: ()}
            return build.store, [pool.submit(step, build, *given) for step, given in arguments.items()]

        yield start


def read_all(store):
    """Every frame of each trajectory that shows, against its hash; and each file of every slot that shows."""
    reader = ClipReader.open(store)
    for trajectory in store.trajectories:
        assert set(trajectory.slots) <= set(store.ledger)
        buffers = ClipBuffers.allocate(
            num_clips=1,
            num_frames=trajectory.num_frames,
            latent_shape=store.latent_shape,
            quantisation=store.quantisation,
        )
        reader.read(trajectory.first_frame, buffers, 0)
    for row in store.ledger.values():
        for file in row.files:
            data = (store.path / slot_path(store.specs[file.array], row.slot)).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file.sha256


def state_of(store):
    return store.attributes.sealed, len(store.ledger), len(store.trajectories)


def test_a_reader_finds_finished_slots_only_at_any_moment_of_a_build(start_building):
    path, steps = start_building()
    seen = []
    while not all(step.done() for step in steps):
        try:
            store = Store.open(path)
        except StoreNotFoundError:
            time.sleep(0.01)
            continue
        read_all(store)
        seen.append(state_of(store))
    for step in steps:
        step.result()
    store = Store.open(path)
    read_all(store)
    assert state_of(store) == (True, NUM_SLOTS, NUM_TRAJECTORIES)
    print(f"opened {len(seen)} times; slots that showed: {sorted({slots for _, slots, _ in seen})}")
    # What shows only grows.
    assert seen == sorted(seen)
    assert len({slots for _, slots, _ in seen}) > 2
