"""Files that are either whole or not there."""

import os
import secrets
from pathlib import Path

PARTIAL_SUFFIX = ".partial"


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path` so that a crash at any moment leaves the old file, or none, or the new one.

    Temporary name, fsync, rename, fsync of the folder. The temporary name is drawn: a worker that outlives
    its killed build may still be writing this file when the next build writes it too.
    """
    _make_folder(path.parent)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with partial.open("xb") as file:
            file.write(data)
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


def _make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each made durable in its own parent."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
