"""Many threads read through one reader."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from store_schema.array_readers import TensorstoreReader
from store_schema.buffers import ClipBuffers
from store_schema.errors import DamagedStoreError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_group, slot_path
from store_schema.reader import ClipReader
from store_schema.store import Store

NUM_FRAMES = 16
NUM_CLIPS = 400


@pytest.mark.parametrize("through_tensorstore", [False, True])
def test_eight_threads_read_what_one_does(shared_store: Path, through_tensorstore: bool) -> None:
    store = Store.open(shared_store)
    reader = ClipReader(store, TensorstoreReader(store)) if through_tensorstore else ClipReader.open(store)
    buffers = ClipBuffers.allocate(
        num_clips=NUM_CLIPS,
        num_frames=NUM_FRAMES,
        latent_shape=store.latent_shape,
        quantisation=store.quantisation,
    )
    starts = SLOT_FRAMES + np.random.default_rng(0).integers(0, 129 - NUM_FRAMES, size=NUM_CLIPS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda clip: reader.read(int(starts[clip]), buffers, clip), range(NUM_CLIPS)))
    latents = np.asarray(open_group(shared_store)["latents"][:])
    states = np.asarray(open_group(shared_store)["states"][:])
    for clip, start in enumerate(starts):
        assert buffers.latents_BTND[clip].tobytes() == latents[start : start + NUM_FRAMES].tobytes()
        assert buffers.states_BTA[clip].tobytes() == states[start : start + NUM_FRAMES].tobytes()


def test_every_thread_hears_of_damage(own_store: Path) -> None:
    """The check of one thread must not spare another one's."""
    file = own_store / slot_path(Store.open(own_store).specs["states"], 0)
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    store = Store.open(own_store)
    reader = ClipReader.open(store)
    buffers = ClipBuffers.allocate(
        num_clips=32, num_frames=NUM_FRAMES, latent_shape=store.latent_shape, quantisation=store.quantisation
    )
    with ThreadPoolExecutor(8) as pool:
        clips = [pool.submit(reader.read, 0, buffers, clip) for clip in range(32)]
    assert {type(clip.exception()) for clip in clips} == {DamagedStoreError}
