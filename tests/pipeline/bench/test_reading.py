"""What is read when reading is measured, not how fast."""

import os
from pathlib import Path

import pytest
import torch

from pipeline.bench import cold_reading, memory_rate, reading
from pipeline.bench.cold_reading import cold_rows
from pipeline.bench.disk_rate import read_in_order
from pipeline.bench.reading import HANDED_OVER, Reading, cached_part, open_stream, take, warm_rows
from pipeline.bench.rows import Amount
from pipeline.bench.windows import micro_batches
from store_schema import direct_io
from store_schema.buffers import ClipBuffers
from store_schema.errors import DamagedStoreError
from store_schema.layout import slot_path
from store_schema.store import Store


@pytest.fixture(autouse=True)
def small_buffers(monkeypatch):
    monkeypatch.setattr(memory_rate, "BUFFER_BYTES", 2**12)


@pytest.fixture
def of_tiny(tiny_store):
    return reading_of(tiny_store)


def reading_of(path, **changed):
    values = {"clip_frames": 4, "micro_batch_clips": 2, "device": torch.device("cpu"), "seconds": 0.001}
    return Reading(store=Store.open(path), **{**values, **changed})


def test_bytes_are_those_of_the_buffers_that_a_batch_is_read_into(of_tiny):
    buffers = ClipBuffers.allocate(
        num_clips=2,
        num_frames=4,
        latent_shape=of_tiny.store.latent_shape,
        quantisation=of_tiny.store.quantisation,
    )
    arrays = (buffers.latents_BTND, buffers.token_scale_BTN, buffers.states_BTA, buffers.actions_BTA)
    assert of_tiny.batch_bytes == sum(array.nbytes for array in arrays)


def test_a_device_that_computes_nothing_takes_every_batch_of_the_real_stream(of_tiny):
    batches = micro_batches([0, 4, 8, 12], 2)
    with open_stream(of_tiny, batches, HANDED_OVER) as stream:
        shapes = [(tuple(clips.latents_BTND.shape), clips.latents_BTND.device) for clips in stream]
    assert shapes == [((2, 4, 4, 8), HANDED_OVER)] * 2


@pytest.mark.parametrize(
    ("asked", "taken"), [({"batches": 2}, 2), ({"seconds": 0.0}, 1), ({"seconds": 9}, 3)]
)
def test_only_batches_that_came_are_counted(of_tiny, asked, taken):
    with open_stream(of_tiny, micro_batches([0, 4, 8, 12, 16, 20], 2), HANDED_OVER) as stream:
        assert take(stream, of_tiny, **asked).done == taken * of_tiny.batch_bytes


def test_warm_reading_is_held_to_a_copy_of_memory_and_dequantising_to_reading(of_tiny):
    rows = {row.what: row for row in warm_rows(of_tiny)}
    memcpy, warm = rows["memcpy, one thread"], rows["read warm"]
    assert min(row.value for row in rows.values()) > 0
    assert warm.ratio == warm.value / memcpy.value
    assert rows["read warm, first pass"].limit == "memcpy, one thread"
    assert rows["read warm, dequantised"].ratio == rows["read warm, dequantised"].value / warm.value


def test_damage_stops_the_measurement_with_the_slot_named(make_store, tmp_path):
    path = make_store(tmp_path / "damaged.zarr", trajectories=[(40, "train"), (16, "validation")])
    store = Store.open(path)
    with (path / slot_path(store.specs["latents"], 0)).open("r+b") as file:
        file.write(b"\x01\x01\x01\x01")
    with pytest.raises(DamagedStoreError, match="Frame 0 of slot 0"):
        warm_rows(reading_of(path))


def test_cold_windows_lie_in_other_files_than_those_read_in_order(of_tiny, monkeypatch):
    in_order, dropped = set(), set()
    monkeypatch.setattr(cold_reading, "forget", lambda path: dropped.add(path))

    def listed(paths, _seconds):
        in_order.update(paths)
        return Amount(1.0, 1.0)

    monkeypatch.setattr(cold_reading, "read_in_order", listed)
    sequential, cold = cold_rows(of_tiny)
    of_latents = {path for path in dropped if "latents" in path.parts}
    # Six slots hold the training trajectories: five of 4 frames and more, one of which takes two.
    assert len(in_order | of_latents) == 6
    assert in_order.isdisjoint(of_latents)
    assert len(dropped) == 4 * len(of_latents)
    assert (sequential.value, cold.ratio) == (1.0, cold.value)


def test_a_store_that_memory_can_hold_is_said_to_be_so(of_tiny, monkeypatch):
    assert "may still lie in a cache of the host" in cold_rows(of_tiny)[-1].note
    monkeypatch.setattr(reading, "memory_bytes", lambda: of_tiny.store_bytes)
    assert cold_rows(of_tiny)[-1].note.endswith("past the page cache")


def test_of_a_large_store_a_part_is_read_warm_that_goes_through_the_page_cache(of_tiny, monkeypatch):
    """Its first three trajectories have 40, 129 and 16 frames, in four slots."""
    monkeypatch.setattr(reading, "WARM_BYTES", 170 * of_tiny.frame_bytes)
    part = cached_part(of_tiny)
    assert [t.index for t in part.trajectories] == [0, 1, 2]
    assert (part.stored_frames, sorted(part.ledger)) == (185, [0, 1, 2, 3])
    # Half of it holds the latents of 200 frames; the store has 263.
    monkeypatch.setattr(direct_io, "memory_bytes", lambda: 400 * of_tiny.store.specs["latents"].item_bytes)
    assert direct_io.passes_page_cache(of_tiny.store)
    assert not direct_io.passes_page_cache(part)


def test_where_the_page_cache_cannot_be_asked_cold_rows_say_so(of_tiny, monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise")
    rows = cold_rows(of_tiny)
    assert [(row.value, row.ratio) for row in rows] == [(None, None)] * 2
    assert all("no way to ask the page cache" in row.note for row in rows)


def test_files_in_order_are_dropped_from_the_page_cache_first_and_read_whole(tmp_path, monkeypatch):
    paths = [tmp_path / str(number) for number in range(3)]
    for path in paths:
        path.write_bytes(bytes(100))
    dropped: list[Path] = []
    monkeypatch.setattr("pipeline.bench.disk_rate.forget", dropped.append)
    assert read_in_order(paths, seconds=5.0).done in (100, 200)
    assert dropped == paths


def test_one_file_alone_can_be_read_in_order(tmp_path):
    (tmp_path / "alone").write_bytes(bytes(100))
    assert read_in_order([tmp_path / "alone"], seconds=0.0).done == 100
