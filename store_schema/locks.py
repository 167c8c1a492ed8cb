"""One process at a time: who builds a store, or trains a run, holds its lock, and the next one is told who.

The kernel lets go of a lock when its holder dies, however it dies. On a file system without `flock`
(Lustre under noflock), filelock warns, and keeps a marker with host and process number in its place.
"""

import errno
import json
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from store_schema.atomic import write_atomically
from store_schema.errors import LocksUnsupportedError, StoreHeldError
from store_schema.format import BUILD_FOLDER

LOCK_FILE: Final = "lock"
HOLDER_FILE: Final = "lock.json"
_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock, for people to read: whether it is held, the kernel knows."""

    pid: int
    host: str
    since: str
    command: str

    @classmethod
    def this_process(cls) -> "Holder":
        """The caller; `since` is now, in local time."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host} since {self.since} ({self.command})"


@contextmanager
def hold(folder: Path, *, what: str, remedy: str) -> Iterator[None]:
    """Keep other processes from holding `folder` meanwhile; within one process holds nest.

    what, remedy: what the holder is doing, such as "Store x is being built", and what others can do about it.
    Raises StoreHeldError at once where another process holds it, and LocksUnsupportedError.
    """
    # The real path: a symbolic link to the folder must find the same lock.
    real = folder.resolve()
    lock = FileLock(real / LOCK_FILE, blocking=False, thread_local=False, is_singleton=True)
    if not try_acquire(lock):
        holder = _read_holder(real) or "another process"
        raise StoreHeldError(f"{what} by {holder}. {remedy}")
    is_outermost = lock.lock_counter == 1
    try:
        if is_outermost:
            _write_holder(real)
        yield
    finally:
        if is_outermost:
            (real / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def hold_store(store: Path) -> AbstractContextManager[None]:
    """`hold` for all that writes more to a store than single slots. Raises the same."""
    return hold(
        store / BUILD_FOLDER,
        what=f"Store {store.name} is being built",
        remedy="Wait for it, stop it, or work on other slots with --join.",
    )


def holder_of(folder: Path) -> Holder | None:
    """Who is at work in `folder`, as far as it can be told without a lock: asking keeps nobody out.

    None where nobody is, or where the one who signed is dead; on another host that cannot be seen.
    """
    holder = _read_holder(folder.resolve())
    if holder is None or (holder.host == socket.gethostname() and not _is_alive(holder.pid)):
        return None
    return holder


def try_acquire(lock: FileLock) -> bool:
    """Whether the lock was free and is now the caller's. Raises LocksUnsupportedError."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise LocksUnsupportedError(
            f"The file system of {lock.lock_file} gives no file locks ({error.strerror}), so two processes "
            "could write the same files. Mount it with locks, or use a folder on another file system."
        ) from error
    return True


def _read_holder(folder: Path) -> Holder | None:
    """None where a holder has not come to write it, has just let go, or was of another version."""
    try:
        return Holder(**json.loads((folder / HOLDER_FILE).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _write_holder(folder: Path) -> None:
    killed = _read_holder(folder)
    if killed is not None:
        logger.warning("The last to work here, %s, was killed; going on from what it left.", killed)
    write_atomically(folder / HOLDER_FILE, json.dumps(asdict(Holder.this_process())).encode())
