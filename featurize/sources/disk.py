"""Before an episode is rejected: is it broken, or is its disk? A rejection is for good, a disk comes back."""

import errno
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from featurize.errors import SourceMovedError, SourceUnreadableError
from featurize.sources.droid_folders import ROWS_FILE, metadata_names
from featurize.sources.droid_metadata import MP4_FOLDER

# What a failing disk, a network file system or an unplugged device answers, and no file by what is in it.
DISK_ERRNOS: Final = frozenset(
    {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EREMOTEIO}
)
READ_BYTES: Final = 1 << 20
MAX_VIDEOS: Final = 16


def require_source(root: Path, locations: Iterable[str]) -> None:
    """Raise SourceMovedError where no episode lies under `root`, which is then not mounted, or elsewhere."""
    if not any((root / location).is_dir() for location in locations):
        raise SourceMovedError(
            f"No episode that was indexed lies under {root}. Point --source at the folder that was indexed; "
            "is its disk there? Then run the same command again."
        )


def require_readable(folder: Path) -> None:
    """Raise SourceUnreadableError where an I/O error ends a plain read of an episode's files."""
    try:
        for path in _files(folder):
            _read_through(path)
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise SourceUnreadableError(
                f"{error.filename or folder} cannot be read: {error.strerror}. That is its disk's fault, so "
                "no episode was rejected. Mend the disk, or delete the file if it is lost, and run the same "
                "command again."
            ) from error


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in metadata_names(folder))
    yield folder / ROWS_FILE
    yield from islice((folder / MP4_FOLDER).glob("*.mp4"), MAX_VIDEOS)


def _read_through(path: Path) -> None:
    if not path.is_file():
        return
    with path.open("rb", buffering=0) as file:
        try:
            while file.read(READ_BYTES):
                pass
        except OSError as error:
            error.filename = str(path)
            raise
