"""Unknown, misspelt and contradictory attributes are refused with their name; so are other settings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from store_schema.attributes import Fingerprint, StoreAttributes, canonical_sha256
from store_schema.errors import FingerprintMismatchError, SchemaError
from store_schema.layout import read_attributes
from store_schema.store import Store


@pytest.fixture
def attributes(tiny_store: Path) -> dict[str, Any]:
    return read_attributes(tiny_store)


@pytest.fixture
def fingerprint(tiny_store: Path) -> Fingerprint:
    return Store.open(tiny_store).attributes.fingerprint


def changed(tree: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """A copy with one field set: changed(tree, "encoder.name", "other")."""
    name, _, rest = where.partition(".")
    return tree | {name: changed(tree[name], rest, value) if rest else value}


def test_attributes_come_back_as_they_were_written(attributes: dict[str, Any]) -> None:
    assert StoreAttributes.parse(attributes).model_dump(mode="json") == attributes


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("format_version", 2, "format_version: Input should be 1"),
        ("seeled", True, "seeled: Extra inputs are not permitted"),
        ("num_slots", 0, "num_slots: Input should be greater than or equal to 1"),
        ("fingerprint.encoder.wdith", 8, "fingerprint.encoder.wdith: Extra inputs are not permitted"),
        ("fingerprint.quantisation", "int4", "fingerprint.quantisation: Input should be 'int8' or 'float16'"),
        ("fingerprint.frame_rate_hz", "often", "fingerprint.frame_rate_hz: Input should be a valid number"),
        ("source.license", "MIT", "source.license: Extra inputs are not permitted"),
        ("statistics", None, "all: Value error, a sealed store has 'statistics'"),
    ],
)
def test_a_wrong_attribute_is_refused_with_its_name(
    attributes: dict[str, Any], where: str, value: Any, message: str
) -> None:
    with pytest.raises(SchemaError, match=f"not those of a format 1 store: {message}"):
        StoreAttributes.parse(changed(attributes, where, value))


@pytest.mark.parametrize("name", ["uuid", "fingerprint", "recipe", "source", "library_versions"])
def test_a_missing_attribute_is_refused_with_its_name(attributes: dict[str, Any], name: str) -> None:
    del attributes[name]
    with pytest.raises(SchemaError, match=f"{name}: Field required"):
        StoreAttributes.parse(attributes)


def test_every_wrong_attribute_is_named_at_once(attributes: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=r"num_slots: .*; seeled: "):
        StoreAttributes.parse(attributes | {"num_slots": -1, "seeled": True})


def test_attributes_cannot_be_changed_in_place(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        StoreAttributes.parse(attributes).sealed = False


@pytest.mark.parametrize(
    ("where", "value", "stored"),
    [
        ("encoder.weights_sha256", "f" * 64, "0" * 64),
        ("encoder.name", "vjepa2-vitg", "drawn"),
        ("encoder.compute_dtype", "bfloat16", "float32"),
        ("preprocessing.crop", "official", "random"),
        ("clock", "mp4_nominal", "physical"),
        ("frame_rate_hz", 5.0, "4.0"),
        ("quantisation", "float16", "int8"),
    ],
)
def test_a_difference_is_named_with_both_values(
    fingerprint: Fingerprint, where: str, value: Any, stored: str
) -> None:
    other = Fingerprint.model_validate(changed(fingerprint.model_dump(), where, value))
    message = (
        f"nothing was changed. {where}: store has {stored}, asked for {value}. Use the settings of the store"
    )
    with pytest.raises(FingerprintMismatchError, match=message):
        fingerprint.require_same(other)
    assert other.sha256() != fingerprint.sha256()


def test_every_difference_is_named_at_once(fingerprint: Fingerprint) -> None:
    other = fingerprint.model_copy(update={"clock": "mp4_nominal", "frame_rate_hz": 5.0})
    with pytest.raises(
        FingerprintMismatchError, match=r"clock: .*; frame_rate_hz: store has 4.0, asked for 5.0"
    ):
        fingerprint.require_same(other)


def test_equal_fingerprints_pass(fingerprint: Fingerprint) -> None:
    fingerprint.require_same(fingerprint.model_copy())


def test_statistics_count_unless_they_are_to_be_ignored(fingerprint: Fingerprint) -> None:
    uncalibrated = fingerprint.model_copy(update={"channel_statistics_sha256": None})
    fingerprint.require_same(uncalibrated, ignore_statistics=True)
    with pytest.raises(
        FingerprintMismatchError, match=r"channel_statistics_sha256: store has [0-9a-f]{64}, asked"
    ):
        fingerprint.require_same(uncalibrated)


def test_ignoring_statistics_ignores_nothing_else(fingerprint: Fingerprint) -> None:
    other = fingerprint.model_copy(update={"channel_statistics_sha256": None, "clock": "mp4_nominal"})
    with pytest.raises(FingerprintMismatchError, match=r"nothing was changed. clock: store has physical"):
        fingerprint.require_same(other, ignore_statistics=True)


def test_the_fingerprint_does_not_depend_on_the_order_of_names() -> None:
    assert canonical_sha256({"a": 1, "b": [2, 3]}) == canonical_sha256({"b": [2, 3], "a": 1})
    assert canonical_sha256({"a": [2, 3]}) != canonical_sha256({"a": [3, 2]})
