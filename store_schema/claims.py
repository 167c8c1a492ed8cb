"""Claims on single slots, so that several processes can encode one store and none does the work of another.

A claim is a file lock that is held from before a slot is decoded until its ledger row is on disk. That of a
process that dies is free again.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock

from store_schema.format import BUILD_FOLDER
from store_schema.ledger import is_settled
from store_schema.locks import try_acquire

CLAIMS_FOLDER: Final = "claims"


class Claims:
    """The slots that one encoder is at work on; leaving the context releases those still held."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self._held: dict[int, FileLock] = {}

    def take(self, slots: Iterable[int]) -> Iterator[int]:
        """Claim slot after slot, each when it is asked for; those settled or claimed by others are left out.

        Raises LocksUnsupportedError.
        """
        for slot in slots:
            lock = _lock_of(self.store, slot)
            if not try_acquire(lock):
                continue
            self._held[slot] = lock
            # Looked at under the claim: another process may have finished the slot a moment ago.
            if is_settled(self.store, slot):
                self.release(slot)
            else:
                yield slot

    def release(self, slot: int) -> None:
        """Give up the claim on a slot."""
        self._held.pop(slot).release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in list(self._held):
            self.release(slot)


def is_claimed(store: Path, slot: int) -> bool:
    """Whether some encoder is at work on the slot. Raises LocksUnsupportedError."""
    lock = _lock_of(store, slot)
    if not Path(lock.lock_file).exists():
        return False
    if not try_acquire(lock):
        return True
    lock.release()
    return False


def remove_claims(store: Path) -> None:
    """Remove the files of all claims, once every slot is settled."""
    # A process that joined may be looking at the last of them this moment; what stays is an empty file.
    shutil.rmtree(store / BUILD_FOLDER / CLAIMS_FOLDER, ignore_errors=True)


def _lock_of(store: Path, slot: int) -> FileLock:
    # Not one object a process: two threads that encode the same store exclude each other too.
    path = store / BUILD_FOLDER / CLAIMS_FOLDER / f"{slot:08d}"
    return FileLock(path, blocking=False, thread_local=False)
