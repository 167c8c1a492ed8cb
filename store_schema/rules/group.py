"""The root file of a store, from its bytes: a build may replace the file between two reads."""

import json
from collections.abc import Iterator
from typing import Any

from store_schema.format import FORMAT_VERSION, ROOT_ATTRIBUTE, ROOT_FILE, ROOT_HASH_ATTRIBUTE
from store_schema.problem import Kind, Problem
from store_schema.root_hash import root_sha256


def root_problems(data: bytes) -> Iterator[Problem]:
    """What is wrong with the root file; the first fault hides those after it."""
    for validator in (is_group_metadata, has_our_attributes_only, has_its_own_hash):
        found = list(validator(data))
        yield from found
        if found:
            return


def is_group_metadata(data: bytes) -> Iterator[Problem]:
    """G1. The root `zarr.json` MUST be the metadata of a Zarr v3 group with attributes."""
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        yield _problem("unreadable", f"{ROOT_FILE} is not the metadata of a Zarr group: {error}.")
        return
    kind = (metadata.get("zarr_format"), metadata.get("node_type")) if isinstance(metadata, dict) else None
    if kind != (3, "group") or not isinstance(metadata.get("attributes"), dict):
        yield _problem(
            "unreadable", f"{ROOT_FILE} is not the metadata of a Zarr group of version 3 with attributes."
        )


def has_our_attributes_only(data: bytes) -> Iterator[Problem]:
    """G2. Its attributes MUST be `permafrost`, an object, and `permafrost_sha256`, and no others."""
    attributes = _attributes(data)
    if not isinstance(attributes.get(ROOT_ATTRIBUTE), dict):
        yield _problem(
            "wrong_attribute",
            f"{ROOT_FILE} is a Zarr group without the attribute '{ROOT_ATTRIBUTE}': not a feature store.",
        )
    elif unknown := sorted(attributes.keys() - {ROOT_ATTRIBUTE, ROOT_HASH_ATTRIBUTE}):
        yield _problem(
            "wrong_attribute",
            f"{ROOT_FILE} has unknown root attributes {unknown}; format {FORMAT_VERSION} allows "
            f"'{ROOT_ATTRIBUTE}' and '{ROOT_HASH_ATTRIBUTE}'.",
        )


def has_its_own_hash(data: bytes) -> Iterator[Problem]:
    """G3. `permafrost_sha256` MUST be the SHA-256 of this file, taken with the value as 64 hyphens."""
    attributes = _attributes(data)
    recorded = attributes.get(ROOT_HASH_ATTRIBUTE)
    if recorded is None and attributes[ROOT_ATTRIBUTE].get("files") is None:
        return  # of before there were hashes; `is_hashed` tells of it
    if not isinstance(recorded, str) or root_sha256(data, recorded) != recorded:
        yield _problem(
            "wrong_hash",
            f"{ROOT_FILE} differs from what was written: its SHA-256 is not the recorded "
            f"{str(recorded)[:12]}. Restore the file from a copy.",
        )


def _attributes(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)["attributes"])


def _problem(kind: Kind, detail: str) -> Problem:
    return Problem(kind=kind, where=ROOT_FILE, detail=detail)
