"""Is every byte still what was written, and are two stores the same?"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from store_schema.atomic import PARTIAL_SUFFIX
from store_schema.format import BUILD_FOLDER
from store_schema.layout import slot_path
from store_schema.ledger import LedgerRow
from store_schema.store import Store


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong in a store: what kind, where (slot and array), and the detail."""

    kind: str
    where: str
    detail: str


def verify_hashes(store: Store) -> Iterator[Problem]:
    """Read every slot file in full and compare size and SHA-256 with the ledger."""
    for slot in sorted(store.ledger):
        yield from _verify_slot(store, store.ledger[slot])
    if store.attributes.sealed:
        for slot in store.missing_slots():
            yield Problem(kind="missing_slot", where=f"slot {slot}", detail="sealed, but not in the ledger")


def digest(path: Path) -> str:
    """SHA-256 over the names and contents of all files of a sealed store: equal stores, equal digests.

    Working files of the build and leftovers of killed writes are not counted.
    """
    total = hashlib.sha256()
    for file in sorted(_content_files(path)):
        total.update(f"{file.relative_to(path).as_posix()}\0{_file_sha256(file)}\n".encode())
    return total.hexdigest()


def _verify_slot(store: Store, row: LedgerRow) -> Iterator[Problem]:
    for file in row.files:
        path = store.path / slot_path(store.specs[file.array], row.slot)
        where = f"slot {row.slot}, array {file.array}"
        if not path.is_file():
            yield Problem(kind="missing_file", where=where, detail=f"episode {row.episode_id}: file is gone")
        elif path.stat().st_size != file.size_bytes:
            detail = f"{path.stat().st_size} bytes, ledger says {file.size_bytes}"
            yield Problem(kind="wrong_size", where=where, detail=detail)
        elif (found := _file_sha256(path)) != file.sha256:
            yield Problem(kind="wrong_hash", where=where, detail=f"SHA-256 {found}, ledger says {file.sha256}")


def _content_files(path: Path) -> Iterator[Path]:
    for file in path.rglob("*"):
        is_working = file.relative_to(path).parts[0] == BUILD_FOLDER or file.name.endswith(PARTIAL_SUFFIX)
        if file.is_file() and not is_working:
            yield file


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
