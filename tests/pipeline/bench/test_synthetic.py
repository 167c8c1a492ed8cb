"""A store of drawn numbers is a store, and says that it is drawn."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from featurize.errors import BrokenRecipeError
from featurize.recipe import resolve_recipe
from pipeline.bench import synthetic
from pipeline.bench.synthetic import (
    SyntheticStore,
    SyntheticStoreError,
    write_synthetic_store,
)
from pipeline.bench.synthetic_source import SYNTHETIC_SOURCE, is_synthetic
from store_schema.layout import open_array
from store_schema.store import Store
from store_schema.verify import verify_values

TINY = "vit-tiny-random"
SIZE_BYTES = 600_000
"""Some 380 frames of 16 x 96, in the order of five trajectories."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Not to be changed."""
    path = tmp_path_factory.mktemp("synthetic") / "drawn.zarr"
    return write_synthetic_store(SyntheticStore(path=path, size_bytes=SIZE_BYTES, encoder=TINY))


def test_verify_finds_nothing_wrong_with_bytes_or_values(drawn):
    assert list(verify_values(drawn)) == []


def test_it_is_sealed_and_as_large_as_asked_for(drawn):
    store = Store.open(drawn)
    longest = store.frame_bytes * max(synthetic.NUM_FRAMES_RANGE)
    assert store.attributes.sealed
    assert SIZE_BYTES <= store.stored_frames * store.frame_bytes + store.frame_bytes <= SIZE_BYTES + longest


def test_both_sides_of_the_hold_out_have_trajectories(drawn):
    store = Store.open(drawn)
    assert store.split("train")
    assert store.split("validation")


def test_it_says_everywhere_that_it_was_drawn(drawn):
    attributes = Store.open(drawn).attributes
    assert attributes.source.name == SYNTHETIC_SOURCE
    assert is_synthetic(drawn)
    assert "nothing was recorded or encoded" in attributes.source.attribution
    assert "drawn, not encoded" in attributes.fingerprint.encoder.weights_sha256


def test_other_stores_are_not_taken_for_drawn_ones(tiny_store):
    assert not is_synthetic(tiny_store)


def test_featurize_does_not_continue_it(drawn):
    with pytest.raises(BrokenRecipeError):
        resolve_recipe(drawn, {})


def test_no_two_slots_hold_the_same(drawn):
    store, latents = Store.open(drawn), open_array(drawn, "latents")
    frames = {np.array(latents[128 * slot]).tobytes() for slot in range(store.attributes.num_slots)}
    assert len(frames) == store.attributes.num_slots


def test_the_same_seed_draws_the_same_store(drawn, tmp_path):
    def again(seed):
        path = tmp_path / f"{seed}.zarr"
        asked = SyntheticStore(path=path, size_bytes=SIZE_BYTES, encoder=TINY, seed=seed)
        return Store.open(write_synthetic_store(asked)).attributes.files

    assert again(0) == Store.open(drawn).attributes.files
    assert again(1) != Store.open(drawn).attributes.files


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine.zarr").mkdir()
    with pytest.raises(SyntheticStoreError, match=r"something lies at .*mine\.zarr already"):
        write_synthetic_store(SyntheticStore(path=tmp_path / "mine.zarr", size_bytes=1, encoder=TINY))
    assert list((tmp_path / "mine.zarr").iterdir()) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    free = shutil._ntuple_diskusage(2**40, 2**40, 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    asked = SyntheticStore(path=tmp_path / "new" / "large.zarr", size_bytes=2**31, encoder=TINY)
    with pytest.raises(SyntheticStoreError, match=r"of 2 GiB needs 2.65 GiB free, and .* has 1\."):
        write_synthetic_store(asked)
    assert list(tmp_path.iterdir()) == []


def test_what_was_begun_is_removed_where_writing_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "seal", fail)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic_store(SyntheticStore(path=tmp_path / "half.zarr", size_bytes=1, encoder=TINY))
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_slot_by_slot(tmp_path: Path):
    told = []
    asked = SyntheticStore(path=tmp_path / "told.zarr", size_bytes=1, encoder=TINY)
    write_synthetic_store(asked, lambda done, total: told.append((done, total)))
    num_slots = Store.open(asked.path).attributes.num_slots
    assert told == [(done, num_slots) for done in range(1, num_slots + 1)]
