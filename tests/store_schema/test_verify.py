"""`verify` says what is wrong and where, and never stops at it."""

import random
import shutil
import threading
from pathlib import Path

import pytest

from store_schema import slot_pass, verify
from store_schema.errors import SchemaError, StoreNotFoundError
from store_schema.layout import slot_path, write_attributes
from store_schema.store import Store
from store_schema.verify import verify_hashes, verify_schema, verify_values

LEVELS = pytest.mark.parametrize("verify_level", [verify_schema, verify_hashes, verify_values])


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@LEVELS
def test_a_whole_store_has_no_problem(shared_store: Path, verify_level) -> None:
    assert list(verify_level(shared_store)) == []


@LEVELS
def test_a_store_that_is_being_built_is_checked_as_far_as_it_is_settled(unsealed_store, verify_level) -> None:
    (unsealed_store / "ledger/00000002.json").unlink()
    (unsealed_store / "states/c/2/0").unlink()
    assert list(verify_level(unsealed_store)) == []


@LEVELS
def test_where_nothing_of_a_store_lies_there_is_none(tmp_path: Path, verify_level) -> None:
    with pytest.raises(StoreNotFoundError, match="There is no feature store at"):
        list(verify_level(tmp_path))


@LEVELS
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_lost_root_file_is_a_problem_and_slots_are_read_all_the_same(
    own_store, verify_level, is_gone
) -> None:
    root = own_store / "zarr.json"
    root.unlink() if is_gone else root.write_bytes(root.read_bytes()[:100])
    flip(own_store / "states/c/1/0", 5)
    first, *others = verify_level(own_store)
    assert first.where == "zarr.json"
    assert [p.where for p in others] == ([] if verify_level is verify_schema else ["slot 1, array states"])


def test_a_damaged_table_of_trajectories_does_not_hide_a_damaged_slot(own_store: Path) -> None:
    flip(own_store / "trajectories.parquet", 100)
    flip(own_store / "states/c/1/0", 5)
    assert [p.where for p in verify_hashes(own_store)] == ["trajectories.parquet", "slot 1, array states"]


def test_values_of_damaged_slots_are_not_looked_at_twice(own_store: Path) -> None:
    flip(own_store / "states/c/1/0", 3)
    assert [p.where for p in verify_values(own_store)] == ["slot 1, array states"]


def test_every_file_is_opened_once_and_read_by_a_few_threads(own_store, monkeypatch) -> None:
    opened, threads = [], set()
    read = slot_pass.SlotPass._read

    def note(self, path, spec):
        opened.append(path)
        threads.add(threading.get_ident())
        return read(self, path, spec)

    monkeypatch.setattr(slot_pass.SlotPass, "_read", note)
    assert list(verify_hashes(own_store)) == []
    store = Store.open(own_store)
    files = [
        own_store / slot_path(store.specs[f.array], slot)
        for slot in store.ledger
        for f in store.ledger[slot].files
    ]
    assert sorted(opened) == sorted(files)
    assert threading.get_ident() not in threads


def test_progress_counts_every_slot(own_store: Path) -> None:
    reports: list[tuple[int, int]] = []
    assert list(verify_hashes(own_store, lambda done, total: reports.append((done, total)))) == []
    assert reports == [(done, 8) for done in range(1, 9)]


def test_no_more_slots_are_read_than_are_about_to_be_reported(monkeypatch) -> None:
    """Memory does not grow with the store."""
    begun = []
    results = verify._in_order(lambda slot: begun.append(slot) or [], range(1000))
    next(results)
    assert len(begun) <= verify.AHEAD
    results.close()


@pytest.mark.parametrize("name", ["zarr.json", "latents/zarr.json", "thumbnails/zarr.json"])
def test_no_damage_to_metadata_is_anything_but_a_problem(unsealed_store: Path, name: str) -> None:
    """zarr-python raises many things for metadata that it cannot read."""
    rng, whole = random.Random(name), (unsealed_store / name).read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(len(data))] = rng.randrange(32, 127)
        (unsealed_store / name).write_bytes(data)
        problems = list(verify_schema(unsealed_store))
        if problems:
            assert name in {problem.where for problem in problems}
            with pytest.raises(SchemaError):
                Store.open(unsealed_store)


@pytest.mark.parametrize("name", ["trajectories.parquet", "rejects.parquet"])
def test_no_damage_to_a_table_without_a_seal_is_anything_but_a_problem(unsealed_store, name: str) -> None:
    rng, whole = random.Random(name), (unsealed_store / name).read_bytes()
    for _ in range(60):
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        (unsealed_store / name).write_bytes(data)
        list(verify_schema(unsealed_store))


def test_a_copy_is_as_good_as_the_store(own_store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(own_store, tmp_path / "elsewhere" / "copy.zarr"))
    assert list(verify_hashes(copy)) == []


def test_slots_of_an_append_that_begins_meanwhile_are_not_called_stray(int8_store: Path) -> None:
    def begin_to_grow(done: int, total: int) -> None:
        if done < total:
            return
        attributes = Store.open(int8_store).attributes.model_copy(update={"sealed": False, "files": None})
        write_attributes(int8_store, attributes.model_dump(mode="json"))
        (int8_store / "states/c/99").mkdir()
        shutil.copyfile(int8_store / "states/c/0/0", int8_store / "states/c/99/0")

    assert list(verify_hashes(int8_store, begin_to_grow)) == []
