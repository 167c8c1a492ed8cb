"""A damaged store gets back the very bytes it had, and nothing else of it is touched."""

import shutil
from dataclasses import replace

import pytest

from featurize.encode import encode
from featurize.errors import StepOrderError
from featurize.index_table import read_index, write_index
from featurize.repair import NotRepairableError, RepairReport, repair
from store_schema.format import ROOT_FILE, TRAJECTORIES_TABLE
from store_schema.integrity import digest
from store_schema.layout import slot_path, write_attributes
from store_schema.ledger import record
from store_schema.reader import ClipReader
from store_schema.sealing import seal
from store_schema.store import Store
from store_schema.verify import verify_hashes

from .builds import copied, folder_of


@pytest.fixture
def damaged(finished, tmp_path):
    """A copy of the finished build, to be damaged."""
    return copied(finished, tmp_path / "damaged.zarr")


def file_of(build, array, slot):
    return build.store / slot_path(Store.open(build.store).specs[array], slot)


def flip(path, place=0):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_slots_that_lost_bytes_get_them_back(damaged, finished, encoder):
    flip(file_of(damaged, "latents", 3))
    file_of(damaged, "thumbnails", 3).unlink()
    file_of(damaged, "states", 5).write_bytes(b"short")
    assert repair(damaged, encoder) == RepairReport(mended=(3, 5), changed=())
    assert list(verify_hashes(damaged.store)) == []
    assert digest(damaged.store) == digest(finished.store)


def test_no_file_of_a_good_slot_is_written(damaged, encoder):
    flip(file_of(damaged, "latents", 3))
    others = [p for p in damaged.store.rglob("*") if p.is_file() and "/c/3" not in p.as_posix()]
    before = {path: path.stat().st_mtime_ns for path in others if "build" not in path.parts}
    repair(damaged, encoder)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_whole_store_is_left_as_it_is(damaged, finished, encoder):
    assert repair(damaged, encoder) == RepairReport(mended=(), changed=())
    assert digest(damaged.store) == digest(finished.store)


def test_metadata_of_an_array_is_written_anew(damaged, finished, encoder):
    (damaged.store / "actions/zarr.json").unlink()
    flip(damaged.store / "latents/zarr.json", 30)
    repair(damaged, encoder)
    assert digest(damaged.store) == digest(finished.store)


def test_a_row_of_another_build_is_dropped(damaged, finished, encoder):
    row = Store.open(damaged.store).ledger[2]
    record(damaged.store, replace(row, fingerprint_sha256="f" * 64))
    assert repair(damaged, encoder).mended == (2,)
    assert digest(damaged.store) == digest(finished.store)


def test_a_store_that_is_still_being_built_is_mended_too(make_prepared, encoder, finished):
    build = make_prepared()
    encode(build, encoder, [0, 1, 2])
    flip(file_of(build, "latents", 1))
    assert repair(build, encoder) == RepairReport(mended=(1,), changed=())
    assert list(verify_hashes(build.store)) == []
    assert sorted(Store.open(build.store).ledger) == [0, 1, 2]


def test_other_bytes_than_before_are_told_and_sealed(damaged, encoder):
    """As another processor would give them: here the ledger remembers a slot that nobody can make again."""
    store = Store.open(damaged.store)
    first, second = store.ledger[4], store.ledger[5]
    forged = replace(first, frame_xxh3=second.frame_xxh3[: len(first.frame_xxh3)])
    record(damaged.store, forged)
    assert store.attributes.statistics is not None
    seal(damaged.store, store.attributes, store.specs, store.attributes.statistics)
    assert repair(damaged, encoder) == RepairReport(mended=(), changed=(4,))
    assert list(verify_hashes(damaged.store)) == []
    repaired = Store.open(damaged.store)
    assert repaired.attributes.sealed
    assert repaired.ledger[4] == first
    ClipReader.open(repaired).thumbnails(4 * 128, 4)


@pytest.mark.parametrize("name", [TRAJECTORIES_TABLE, ROOT_FILE, "channel_std/c/0"])
def test_what_encoding_cannot_bring_back_is_refused_and_named(damaged, encoder, name):
    flip(damaged.store / name, 50)
    flip(file_of_slot_3 := damaged.store / "latents/c/3/0/0")
    before = file_of_slot_3.read_bytes()
    with pytest.raises(
        NotRepairableError, match=r"problems? cannot be mended by encoding slots again.*restore"
    ):
        repair(damaged, encoder)
    assert file_of_slot_3.read_bytes() == before


def test_an_episode_that_is_gone_keeps_its_slot_bad_and_the_others_are_mended(
    damaged, source, encoder, tmp_path
):
    episode_id = Store.open(damaged.store).planned_trajectories[0].episode_id
    partial = shutil.copytree(source, tmp_path / "partial")
    shutil.rmtree(folder_of(partial, episode_id).path)
    flip(file_of(damaged, "latents", 0))
    flip(file_of(damaged, "latents", 6))
    build = damaged.model_copy(update={"source_root": partial})
    with pytest.raises(NotRepairableError, match=r"1 of 2 slots could not be encoded again.*slot 0: Episode"):
        repair(build, encoder)
    assert [problem.slot for problem in verify_hashes(damaged.store)] == [0]


def test_a_repair_that_was_stopped_before_it_sealed_is_ended_by_the_next(damaged, encoder):
    store = Store.open(damaged.store)
    unsealed = store.attributes.model_copy(update={"sealed": False, "files": None})
    write_attributes(damaged.store, unsealed.model_dump(mode="json"))
    assert repair(damaged, encoder) == RepairReport(mended=(), changed=())
    assert Store.open(damaged.store).attributes.sealed
    assert list(verify_hashes(damaged.store)) == []


def test_a_whole_store_without_its_index_needs_none(damaged, encoder):
    shutil.rmtree(damaged.store / "build")
    assert repair(damaged, encoder) == RepairReport(mended=(), changed=())


def test_a_slot_whose_episode_is_not_in_the_index_says_how_to_get_it_there(damaged, encoder):
    flip(file_of(damaged, "latents", 0))
    streams = [s for s in read_index(damaged) if not s.episode_id.startswith("LAB+0")]
    write_index(damaged, streams, [])
    with pytest.raises(
        StepOrderError, match=r"1 trajectories are not in the index .* first of episode LAB\+0"
    ):
        repair(damaged, encoder)
