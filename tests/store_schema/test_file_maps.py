"""Ranges of files that are in memory are copied out of maps; where that is not certain, they are read."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from store_schema import array_readers, file_maps
from store_schema.errors import DamagedStoreError
from store_schema.file_maps import LEAST_BYTES, FileMaps
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_group, slot_path
from store_schema.reader import ClipReader
from store_schema.store import Store

SIZE = 2 * LEAST_BYTES + 12_345


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Just written, and so in memory."""
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(SIZE))
    return path


def target(num_bytes: int = LEAST_BYTES) -> np.ndarray:
    return np.zeros(num_bytes, dtype=np.uint8)


@pytest.mark.parametrize("offset", [0, 1, 4096, 4097, SIZE - LEAST_BYTES])
def test_bytes_in_memory_are_copied(file: Path, offset: int) -> None:
    out = target()
    assert FileMaps().copy(str(file), out, offset)
    assert out.tobytes() == file.read_bytes()[offset : offset + LEAST_BYTES]


def test_small_ranges_are_left_to_be_read(file: Path) -> None:
    assert not FileMaps().copy(str(file), target(LEAST_BYTES - 1), 0)


def test_a_range_past_the_end_is_left_to_be_read(file: Path) -> None:
    out = target()
    assert not FileMaps().copy(str(file), out, SIZE - LEAST_BYTES + 1)
    assert not out.any()


@pytest.mark.parametrize("size_bytes", [0, 4096, LEAST_BYTES - 4096])
def test_what_was_cut_off_after_it_was_mapped_is_left_to_be_read(file: Path, size_bytes: int) -> None:
    maps, out = FileMaps(), target()
    assert maps.copy(str(file), out, 0)
    os.truncate(file, size_bytes)
    out[:] = 0
    assert not maps.copy(str(file), out, 0)
    assert not out.any()


def test_a_file_that_took_the_place_of_another_is_what_is_copied(file: Path) -> None:
    maps, out = FileMaps(), target()
    maps.copy(str(file), out, 0)
    other = file.with_name("other")
    other.write_bytes(bytes(SIZE))
    other.replace(file)
    assert maps.copy(str(file), out, 0)
    assert not out.any()


def test_a_file_that_is_gone_is_an_error(file: Path) -> None:
    maps = FileMaps()
    maps.copy(str(file), target(), 0)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        maps.copy(str(file), target(), 0)


def test_what_has_left_memory_is_left_to_be_read(file: Path) -> None:
    maps, out = FileMaps(), target()
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        # What is not in memory cannot be read without waiting.
        with contextlib.suppress(BlockingIOError):
            os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
            pytest.skip("the temporary folder's file system keeps its files in memory")
    finally:
        os.close(descriptor)
    assert not maps.copy(str(file), out, 0)
    assert not out.any()
    file.read_bytes()
    assert maps.copy(str(file), out, 0)


def test_a_file_of_which_the_system_would_not_say_so_is_left_to_be_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ours nor writable."""
    monkeypatch.setattr(file_maps.os, "geteuid", lambda: file.stat().st_uid + 1)
    assert FileMaps().copy(str(file), target(), 0)
    monkeypatch.setattr(file_maps.os, "access", lambda _path, _mode: False)
    assert not FileMaps().copy(str(file), target(), 0)


def test_there_are_only_so_many_maps(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_maps, "MOST_MAPS", 1)
    other, maps = file.with_name("other"), FileMaps()
    other.write_bytes(file.read_bytes())
    assert [maps.copy(str(path), target(), 0) for path in (file, other, file)] == [True, False, True]


def test_maps_are_gone_with_their_owner_and_keep_no_file_open(file: Path) -> None:
    def named(what: str) -> int:
        return Path(f"/proc/self/{what}").read_text().count(str(file))

    maps, num_open = FileMaps(), len(list(Path("/proc/self/fd").iterdir()))
    maps.copy(str(file), target(), 0)
    assert named("maps") == 1
    assert len(list(Path("/proc/self/fd").iterdir())) == num_open
    del maps
    assert named("maps") == 0


@pytest.fixture
def mapped_store(make_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Of frames that nobody reads by calls to the system."""
    path = make_store(tmp_path / "mapped.zarr", trajectories=[(40, "train"), (129, "train")])
    monkeypatch.setattr(file_maps, "LEAST_BYTES", 1)
    return Store.open(path)


def test_latents_in_memory_are_not_read_from_the_file(
    mapped_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *_: object) -> bool:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(array_readers, "read_buffered", refuse)
    latents = np.empty((9, *mapped_store.specs["latents"].item_shape), dtype=np.int8)
    first_frame = SLOT_FRAMES + 120
    ClipReader.open(mapped_store).read_arrays(first_frame, {"latents": latents})
    expected = np.asarray(open_group(mapped_store.path)["latents"][first_frame : first_frame + 9])
    assert latents.tobytes() == expected.tobytes()


def test_a_shard_cut_after_its_first_reading_is_an_error_not_the_end(mapped_store: Store) -> None:
    reader = ClipReader.open(mapped_store)
    latents = np.empty((40, *mapped_store.specs["latents"].item_shape), dtype=np.int8)
    reader.read_arrays(0, {"latents": latents})
    os.truncate(mapped_store.path / slot_path(mapped_store.specs["latents"], 0), 0)
    with pytest.raises(DamagedStoreError, match="Slot 0 of array 'latents' ends too early"):
        reader.read_arrays(0, {"latents": latents})
