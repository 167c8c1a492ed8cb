"""What a sealed store says of its tables and metadata: their hashes, in the root attributes."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from store_schema.attributes import StoreAttributes
from store_schema.format import LEDGER_TABLE, REJECTS_TABLE, ROOT_FILE, TRAJECTORIES_TABLE, ArraySpec
from store_schema.problem import Problem

TABLES = (TRAJECTORIES_TABLE, REJECTS_TABLE, LEDGER_TABLE)


def is_hashed(attributes: StoreAttributes) -> Iterator[Problem]:
    """S1. A sealed store MUST have `files`; those of before 2026-11-21 lack it and stay readable."""
    if attributes.sealed and attributes.files is None:
        yield Problem(
            kind="not_hashed",
            where=ROOT_FILE,
            detail="The store was sealed before seals held hashes. Slots can be compared with the ledger, "
            "tables, metadata and attributes with nothing. Build it again to have them covered.",
        )


def covers_every_file(attributes: StoreAttributes, specs: Mapping[str, ArraySpec]) -> Iterator[Problem]:
    """S2. `files` MUST name every table, every array's `zarr.json` and both channel arrays, and no others."""
    required = sealed_files(specs)
    if attributes.files is not None and sorted(attributes.files) != required:
        yield Problem(
            kind="wrong_attribute",
            where=f"{ROOT_FILE}, attribute files",
            detail=f"The seal covers {sorted(attributes.files)}; format 1 requires {required}.",
        )


def is_as_sealed(path: Path, attributes: StoreAttributes, names: Iterable[str]) -> Iterator[Problem]:
    """S3. Every file of `files` MUST have the SHA-256 that is written there."""
    for name in names if attributes.files is not None else ():
        recorded = (attributes.files or {}).get(name)
        try:
            found = file_sha256(path / name)
        except OSError:
            found = None
        if found != recorded:
            yield Problem(
                kind="missing_file" if found is None else "wrong_hash",
                where=name,
                detail=f"{name} differs from what was sealed: its SHA-256 is {found}, the seal says "
                f"{recorded}. Restore the file from a copy.",
            )


def sealed_files(specs: Mapping[str, ArraySpec]) -> list[str]:
    """Names of the files that a seal covers: all but the root's own and those of slots."""
    metadata = [f"{name}/zarr.json" for name in specs]
    whole = [f"{spec.name}/c/0" for spec in specs.values() if not spec.per_frame]
    return sorted([*TABLES, *metadata, *whole])


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
