"""Is every byte still what was written, and are two stores the same?"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from store_schema.atomic import PARTIAL_SUFFIX
from store_schema.errors import SchemaError
from store_schema.format import BUILD_FOLDER
from store_schema.layout import slot_path
from store_schema.ledger import LedgerRow
from store_schema.store import Store


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong in a store: what kind, where (slot and array), and the detail.

    kind: 'missing_file', 'wrong_size', 'wrong_hash', 'missing_slot' or 'wrong_statistics'.
    """

    kind: str
    where: str
    detail: str


def verify_hashes(store: Store) -> Iterator[Problem]:
    """Compare size and SHA-256 of every slot file with the ledger; check the channel statistics too."""
    for slot in sorted(store.ledger):
        for file in store.ledger[slot].files:
            problem = problem_of_file(store, store.ledger[slot], file.array)
            if problem is not None:
                yield problem
    yield from _wrong_statistics(store)
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


def problem_of_file(store: Store, row: LedgerRow, array: str) -> Problem | None:
    """What is wrong with the file of a written slot in one array; None where it is as the ledger says."""
    (file,) = (file for file in row.files if file.array == array)
    path = store.path / slot_path(store.specs[array], row.slot)
    where = f"slot {row.slot}, array {array}"
    if not path.is_file():
        return Problem(kind="missing_file", where=where, detail=f"episode {row.episode_id}: file is gone")
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        detail = f"{size_bytes} bytes, ledger says {file.size_bytes}"
        return Problem(kind="wrong_size", where=where, detail=detail)
    sha256 = _file_sha256(path)
    if sha256 != file.sha256:
        detail = f"SHA-256 {sha256}, ledger says {file.sha256}"
        return Problem(kind="wrong_hash", where=where, detail=detail)
    return None


def _wrong_statistics(store: Store) -> Iterator[Problem]:
    if store.attributes.fingerprint.channel_statistics_sha256 is not None:
        try:
            _ = store.channel_statistics
        except SchemaError as error:
            yield Problem(kind="wrong_statistics", where="channel_mean, channel_std", detail=str(error))


def _content_files(path: Path) -> Iterator[Path]:
    for file in path.rglob("*"):
        is_working = file.relative_to(path).parts[0] == BUILD_FOLDER or file.name.endswith(PARTIAL_SUFFIX)
        if file.is_file() and not is_working:
            yield file


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
