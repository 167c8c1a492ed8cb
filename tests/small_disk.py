"""A small file system of its own for a test: full, made larger, or read-only, for real."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs at `path`."""

    path: Path

    def remount(self, options: str) -> None:
        """`size=2m`, `ro`, `rw`."""
        _run("mount", "-o", f"remount,{options}", str(self.path))


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """A tmpfs of `size` bytes (or 64k, 2m), gone after the block; skips the test where none is allowed."""
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs may be mounted here, which takes root: {getattr(error, 'stderr', error)}")
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: what waits for the garbage collector may still have a file of it open.
        _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
