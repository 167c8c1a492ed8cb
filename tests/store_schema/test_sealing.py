"""A seal covers every byte that no ledger row does."""

import json
from pathlib import Path

import pytest

from store_schema.errors import SchemaError
from store_schema.format import ROOT_FILE
from store_schema.layout import write_attributes
from store_schema.rules.seal import TABLES, sealed_files
from store_schema.store import Store


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_every_file_is_covered_by_the_seal_the_ledger_or_the_root_itself(own_store: Path) -> None:
    store = Store.open(own_store)
    names = {path.relative_to(own_store).as_posix() for path in own_store.rglob("*") if path.is_file()}
    of_slots = {name for name in names if "/c/" in name and not name.startswith("channel_")}
    assert store.attributes.files is not None
    assert names - of_slots == {*store.attributes.files, ROOT_FILE}
    assert sorted(store.attributes.files) == sealed_files(store.specs)


def test_any_flipped_bit_of_the_root_file_is_found_when_it_is_opened(own_store: Path) -> None:
    whole = (own_store / ROOT_FILE).read_bytes()
    for place in range(len(whole)):
        flip(own_store / ROOT_FILE, place)
        with pytest.raises(SchemaError):
            Store.open(own_store)
        (own_store / ROOT_FILE).write_bytes(whole)
    Store.open(own_store)


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_table_of_a_sealed_store_is_refused_and_named(own_store: Path, table: str) -> None:
    flip(own_store / table, 20)
    with pytest.raises(SchemaError, match=f"{table} differs from what was sealed"):
        Store.open(own_store)


def test_attributes_of_others_beside_ours_are_refused(own_store: Path) -> None:
    metadata = json.loads((own_store / ROOT_FILE).read_text())
    metadata["attributes"]["note"] = "mine"
    (own_store / ROOT_FILE).write_text(json.dumps(metadata))
    with pytest.raises(SchemaError, match=r"unknown root attributes \['note'\]"):
        Store.open(own_store)


@pytest.mark.parametrize("licence", ["-" * 64, f"Terms\n{'-' * 80}\nNone", "/* no rights reserved */"])
def test_a_licence_may_look_like_a_blank_hash_or_a_path(int8_store: Path, licence: str) -> None:
    attributes = Store.open(int8_store).attributes
    source = attributes.source.model_copy(update={"licence": licence})
    write_attributes(int8_store, attributes.model_copy(update={"source": source}).model_dump(mode="json"))
    assert Store.open(int8_store).attributes.source.licence == licence
