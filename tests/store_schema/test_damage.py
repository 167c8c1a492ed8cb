"""Missing or damaged data is an error that names the slot, never fill values."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numcodecs.checksum32 import CRC32C

from store_schema.array_readers import INDEX_BYTES, TensorstoreReader
from store_schema.errors import DamagedStoreError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import slot_path
from store_schema.ledger_row import HASHED_ARRAYS, frame_hash
from store_schema.reader import CHECK_EVERY, ClipReader
from store_schema.store import Store
from store_schema.verify import verify_hashes

LONG_SLOT = 1
"""Frames 0 to 127 of the trajectory of 129 frames."""
Change = Callable[[bytes], bytes]


def file_of(path: Path, name: str, slot: int = LONG_SLOT) -> Path:
    return path / slot_path(Store.open(path).specs[name], slot)


def change_file(file: Path, change: Change) -> None:
    file.write_bytes(change(file.read_bytes()))


def read_all(reader: ClipReader, slot: int = LONG_SLOT) -> dict[str, np.ndarray]:
    num_frames = reader.store.ledger[slot].num_frames
    specs = {name: spec for name, spec in reader.store.specs.items() if name in HASHED_ARRAYS}
    out = {name: np.empty((num_frames, *spec.item_shape), spec.dtype) for name, spec in specs.items()}
    reader.read_arrays(slot * SLOT_FRAMES, out)
    return out


def byte_range_reader(path: Path) -> ClipReader:
    return ClipReader.open(Store.open(path))


def tensorstore_reader(path: Path) -> ClipReader:
    store = Store.open(path)
    return ClipReader(store, TensorstoreReader(store))


def flip_first_bit(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def flip_index_bit(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def cut_one_byte(data: bytes) -> bytes:
    return data[:-1]


def append_one_byte(data: bytes) -> bytes:
    return data + b"\0"


def swap_first_two_frames(data: bytes) -> bytes:
    """A shard that any Zarr reader reads the same, but whose frames do not lie in order."""
    index = np.frombuffer(CRC32C(location="end").decode(data[-INDEX_BYTES:]), "<u8").reshape(-1, 2).copy()
    size = int(index[0, 1])
    index[[0, 1]] = index[[1, 0]]
    payload = data[size : 2 * size] + data[:size] + data[2 * size : -INDEX_BYTES]
    return payload + bytes(CRC32C(location="end").encode(index))


READERS = pytest.mark.parametrize("open_reader", [byte_range_reader, tensorstore_reader])


@READERS
@pytest.mark.parametrize("name", ["latents", "states", "actions"])
def test_a_missing_file_is_an_error(own_store: Path, name: str, open_reader) -> None:
    file_of(own_store, name).unlink()
    with pytest.raises(DamagedStoreError, match=r"(?i)slot 1 "):
        read_all(open_reader(own_store))


@READERS
@pytest.mark.parametrize("name", ["latents", "states", "actions"])
def test_a_short_file_is_an_error(own_store: Path, name: str, open_reader) -> None:
    change_file(file_of(own_store, name), cut_one_byte)
    with pytest.raises(DamagedStoreError, match=rf"Slot 1 of array '{name}'"):
        read_all(open_reader(own_store))


@READERS
@pytest.mark.parametrize("name", ["latents", "states", "actions"])
def test_one_flipped_bit_is_an_error(own_store: Path, name: str, open_reader) -> None:
    change_file(file_of(own_store, name), flip_first_bit)
    with pytest.raises(DamagedStoreError, match=r"Frame 0 of slot 1 \(episode episode-1\) differs from what"):
        read_all(open_reader(own_store))


@READERS
def test_a_flipped_bit_in_a_token_scale_is_an_error(int8_store: Path, open_reader) -> None:
    change_file(file_of(int8_store, "token_scale"), flip_first_bit)
    with pytest.raises(DamagedStoreError, match=r"`permafrost verify int8.zarr` lists all damage"):
        read_all(open_reader(int8_store))


@READERS
def test_the_slot_of_another_trajectory_in_its_place_is_an_error(own_store: Path, open_reader) -> None:
    """Both have 12 frames, so that sizes and indices are right."""
    file_of(own_store, "latents", 4).write_bytes(file_of(own_store, "latents", 7).read_bytes())
    with pytest.raises(DamagedStoreError, match="Frame 0 of slot 4"):
        read_all(open_reader(own_store), slot=4)


@READERS
@pytest.mark.parametrize("name", ["timestamps_seconds", "source_index"])
def test_a_missing_file_of_an_array_without_hashes_is_an_error(
    own_store: Path, name: str, open_reader
) -> None:
    file_of(own_store, name).unlink()
    reader = open_reader(own_store)
    with pytest.raises(DamagedStoreError, match=r"Slot 1 "):
        reader.read_arrays(SLOT_FRAMES, {name: np.empty(4, reader.store.specs[name].dtype)})


def test_each_frame_is_checked_though_others_of_its_slot_were_read_before(own_store: Path) -> None:
    def flip_frame_9(data: bytes) -> bytes:
        place = 9 * Store.open(own_store).specs["latents"].item_bytes
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    change_file(file_of(own_store, "latents", slot=0), flip_frame_9)
    reader = byte_range_reader(own_store)
    specs = {name: spec for name, spec in reader.store.specs.items() if name in HASHED_ARRAYS}
    out = {name: np.empty((4, *spec.item_shape), spec.dtype) for name, spec in specs.items()}
    reader.read_arrays(0, out)
    with pytest.raises(DamagedStoreError, match="Frame 9 of slot 0"):
        reader.read_arrays(8, out)


def test_damage_that_comes_after_the_first_reading_is_found_within_64_more(own_store: Path) -> None:
    reader = byte_range_reader(own_store)
    read_all(reader)
    change_file(file_of(own_store, "latents"), flip_first_bit)
    with pytest.raises(DamagedStoreError, match="Frame 0 of slot 1"):
        list(map(read_all, [reader] * CHECK_EVERY))


def test_a_frame_is_checked_at_its_first_reading_and_once_in_64_after_it(
    own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []

    def counted(entries: Iterable[np.ndarray]) -> bytes:
        checked.append(frame_hash(entries))
        return checked[-1]

    monkeypatch.setattr("store_schema.reader.frame_hash", counted)
    reader = byte_range_reader(own_store)
    once = read_all(reader)["states"]
    assert len(set(checked)) == len(checked) == len(once)
    checked_at: list[int] = []
    for _ in range(CHECK_EVERY):
        before = len(checked)
        read_all(reader)
        checked_at.append(len(checked) - before)
    assert set(checked_at) == {len(once) // CHECK_EVERY}, "frames are not all checked at the same reading"
    assert len(set(checked[len(once) :])) == len(once)


def test_a_file_that_is_too_long_is_an_error(own_store: Path) -> None:
    change_file(file_of(own_store, "states"), append_one_byte)
    with pytest.raises(
        DamagedStoreError, match=r"Slot 1 of array 'states' has 3585 bytes; its 128 frames take 35"
    ):
        read_all(byte_range_reader(own_store))


def test_a_shard_index_that_fails_its_checksum_is_an_error(own_store: Path) -> None:
    change_file(file_of(own_store, "latents"), flip_index_bit)
    with pytest.raises(DamagedStoreError, match="index of slot 1 of array 'latents' fails its CRC-32C"):
        read_all(byte_range_reader(own_store))


def test_frames_out_of_order_are_an_error_though_other_zarr_readers_read_them(own_store: Path) -> None:
    intact = read_all(byte_range_reader(own_store))
    change_file(file_of(own_store, "latents"), swap_first_two_frames)
    through_tensorstore = read_all(tensorstore_reader(own_store))
    assert through_tensorstore["latents"].tobytes() == intact["latents"].tobytes()
    with pytest.raises(DamagedStoreError, match="index of slot 1 of array 'latents' is not in frame order"):
        read_all(byte_range_reader(own_store))


def test_a_file_cut_after_its_first_reading_is_an_error(own_store: Path) -> None:
    reader = byte_range_reader(own_store)
    read_all(reader)
    change_file(file_of(own_store, "actions"), cut_one_byte)
    with pytest.raises(DamagedStoreError, match="Slot 1 of array 'actions' ends too early"):
        read_all(reader)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "slot 1, array thumbnails: episode episode-1: file is gone"),
        (cut_one_byte, r"slot 1, array thumbnails: episode episode-1: \d+ bytes, ledger says \d+"),
        (flip_first_bit, "slot 1, array thumbnails: episode episode-1: SHA-256 [0-9a-f]{64}, ledger says"),
    ],
)
def test_damaged_thumbnails_are_an_error(int8_store: Path, change: Change | None, message: str) -> None:
    file = file_of(int8_store, "thumbnails")
    file.unlink() if change is None else change_file(file, change)
    with pytest.raises(DamagedStoreError, match=message):
        byte_range_reader(int8_store).thumbnails(SLOT_FRAMES, 4)


def test_verify_finds_nothing_in_an_intact_store(shared_store: Path) -> None:
    assert list(verify_hashes(shared_store)) == []


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("timestamps_seconds", None, "missing_file"),
        ("source_index", cut_one_byte, "wrong_size"),
        ("extrinsics", flip_first_bit, "wrong_hash"),
        ("latents", swap_first_two_frames, "wrong_hash"),
    ],
)
def test_verify_names_slot_and_array_of_every_damage(
    own_store: Path, name: str, change: Change | None, kind: str
) -> None:
    file = file_of(own_store, name)
    file.unlink() if change is None else change_file(file, change)
    (problem,) = verify_hashes(own_store)
    assert (problem.kind, problem.where) == (kind, f"slot 1, array {name}")


def test_verify_finds_changed_channel_statistics(int8_store: Path) -> None:
    change_file(int8_store / "channel_std/c/0", flip_first_bit)
    (problem,) = verify_hashes(int8_store)
    assert (problem.kind, problem.where) == ("wrong_hash", "channel_std/c/0")
