"""Files that are either whole or not there."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIX = ".partial"


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` so that a crash at any moment leaves the old file, or none, or the new one.

    Temporary name, fsync, rename, fsync of the folder. The temporary name is drawn: a worker that outlives
    its killed build may still be writing this file when the next build writes it too. Raises OSError with
    the name of the file, and on a full disk with the bytes that are free.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    with naming(path):
        _make_folder(path.parent)
    with renamed_when_whole(partial, path) as file:
        file.write(data)


@contextmanager
def renamed_when_whole(partial: Path, path: Path) -> Iterator[BinaryIO]:
    """A file to write at `partial`, which becomes `path` when the body ends and goes when it raises.

    Raises what `write_atomically` raises.
    """
    with naming(path):
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove what killed writes left anywhere under `folder`; nobody may be writing there."""
    for partial in folder.rglob(f"*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the operating system name `path`, and on a full disk the bytes that are free.

    A failed write names no file, and a temporary name tells nobody anything.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{os.strerror(error.errno)}{_room(error, path)}", str(path)) from error


def _make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each made durable in its own parent."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _room(error: OSError, path: Path) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    folder = next(folder for folder in path.parents if folder.is_dir())
    return f" ({shutil.disk_usage(folder).free:,} bytes free)"
