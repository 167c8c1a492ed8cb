"""A store that has grown still is what it was: earlier revisions are views of its first slots."""

from pathlib import Path

import pytest

from store_schema.attributes import Revision, StoreAttributes
from store_schema.errors import RevisionError, SchemaError
from store_schema.format import TRAJECTORIES_TABLE
from store_schema.layout import read_attributes, write_arrays, write_attributes
from store_schema.store import Store
from store_schema.tables import TRAJECTORY_SCHEMA, write_table

NUM_FIRST = 3
"""Trajectories of the first revision; their slots are 0 to 3."""


@pytest.fixture
def grown(int8_store: Path) -> Path:
    """The tiny store, told that its first three trajectories once were all of it."""
    attributes = StoreAttributes.parse(read_attributes(int8_store))
    assert attributes.statistics is not None
    first = Revision(
        uuid="first",
        num_trajectories=NUM_FIRST,
        num_slots=4,
        library_versions={"numpy": "2"},
        code_version="older",
        statistics=attributes.statistics.model_copy(update={"num_frames": 185}),
    )
    update = {"earlier_revisions": (first,), "uuid": "second"}
    write_attributes(int8_store, attributes.model_copy(update=update).model_dump(mode="json"))
    return int8_store


def test_the_present_revision_holds_everything(grown: Path) -> None:
    store = Store.open(grown)
    assert store.attributes.revision == 2
    assert store.at_revision(2) is store
    assert len(store.trajectories) == 7


def test_an_earlier_revision_is_what_the_store_was(grown: Path) -> None:
    store = Store.open(grown, revision=1)
    assert [t.index for t in store.trajectories] == [0, 1, 2]
    assert list(store.ledger) == [0, 1, 2, 3]
    assert store.stored_frames == store.planned_frames == 40 + 129 + 16
    attributes = store.attributes
    assert (attributes.uuid, attributes.code_version, attributes.sealed) == ("first", "older", True)
    assert attributes.statistics is not None
    assert attributes.statistics.num_frames == 185
    assert (attributes.revision, store.missing_slots()) == (1, [])


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_revision_that_never_was_is_refused(grown: Path, number: int) -> None:
    with pytest.raises(RevisionError, match=rf"int8.zarr has revisions 1 to 2; got {number}"):
        Store.open(grown, revision=number)


def test_while_a_store_grows_its_last_sealed_revision_is_seen(grown: Path) -> None:
    attributes = StoreAttributes.parse(read_attributes(grown))
    growing = attributes.model_copy(update={"sealed": False, "statistics": None, "files": None})
    write_attributes(grown, growing.model_dump(mode="json"))
    assert Store.open(grown).sealed_view().attributes.uuid == "first"


def test_a_sealed_store_is_its_own_sealed_view(int8_store: Path) -> None:
    store = Store.open(int8_store)
    assert store.sealed_view() is store


def test_an_append_that_was_never_committed_is_not_seen(unsealed_store: Path) -> None:
    store = Store.open(unsealed_store)
    last = store.planned_trajectories[-1]
    more = last.__class__(**{**vars(last), "index": len(store.planned_trajectories), "first_slot": 3})
    write_table(unsealed_store / TRAJECTORIES_TABLE, [*store.planned_trajectories, more], TRAJECTORY_SCHEMA)
    write_arrays(unsealed_store, store.specs, 5)
    reopened = Store.open(unsealed_store)
    assert reopened.planned_trajectories == store.planned_trajectories
    assert reopened.missing_slots() == []


def test_a_table_with_fewer_rows_than_the_store_counts_is_refused(unsealed_store: Path) -> None:
    store = Store.open(unsealed_store)
    write_table(unsealed_store / TRAJECTORIES_TABLE, store.planned_trajectories[:1], TRAJECTORY_SCHEMA)
    with pytest.raises(SchemaError, match="table of trajectories has 1 rows; the store has 2 trajectories"):
        Store.open(unsealed_store)


def test_slots_that_shrink_from_one_revision_to_the_next_are_refused(grown: Path) -> None:
    attributes = read_attributes(grown)
    attributes["earlier_revisions"][0]["num_slots"] = 99
    with pytest.raises(SchemaError, match=r"no fewer slots than an earlier one, got \[99, 8\]"):
        StoreAttributes.parse(attributes)
