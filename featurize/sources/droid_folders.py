"""Finding DROID episodes, under a folder or in a list file.

An episode folder holds a `metadata_*.json`, a `trajectory.h5` or a folder `recordings`: one of them is
enough, so that an incomplete episode is found, and then rejected with its reason, instead of being
overlooked.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from featurize.errors import FeaturizeError

METADATA_PREFIX = "metadata_"
METADATA_SUFFIX = ".json"
ROWS_FILE = "trajectory.h5"
RECORDINGS_FOLDER = "recordings"


class SourceNotFoundError(FeaturizeError):
    """The source's root is no folder."""


class EpisodeListError(FeaturizeError):
    """An episode list cannot be read, or a line of it cannot name an episode of this source."""


def walk_locations(root: Path) -> Iterator[str]:
    """Locations of all episode folders under `root`, in order of their names; links to folders are followed.

    A folder that cannot be listed counts as an episode, so that it shows up among the rejects.
    """
    if not root.is_dir():
        raise SourceNotFoundError(
            f"Source {root} is no folder; point --source at the folder that holds the episodes."
        )
    yield from _walk(root, root, ())


def listed_locations(root: Path, episode_list: Path) -> Iterator[str]:
    """Locations in a list file, one a line, relative to `root` or absolute inside it.

    Raises EpisodeListError for a line outside `root` and for one that repeats another.
    """
    line_of: dict[str, int] = {}
    for number, line in _lines(episode_list):
        location = _relative(root, line)
        if location is None:
            raise EpisodeListError(
                f"{episode_list.name}, line {number}: {line} is outside the source {root}."
            )
        if location in line_of:
            raise EpisodeListError(
                f"{episode_list.name}, line {number} repeats line {line_of[location]}: {location}."
            )
        line_of[location] = number
    yield from line_of


def metadata_names(folder: Path) -> list[str]:
    """Names of the metadata files in a folder, sorted. DROID puts the episode's uuid into it."""
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if name.startswith(METADATA_PREFIX) and name.endswith(METADATA_SUFFIX)]


def _lines(episode_list: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        lines = episode_list.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EpisodeListError(f"Episode list {episode_list} cannot be read: {error}.") from error
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def _walk(root: Path, folder: Path, ancestors: tuple[tuple[int, int], ...]) -> Iterator[str]:
    try:
        status, entries = folder.stat(), sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder.relative_to(root).as_posix()
        return
    here = (status.st_dev, status.st_ino)
    if here in ancestors:  # a link back up
        return
    if any(_marks_episode(entry) for entry in entries):
        yield folder.relative_to(root).as_posix()
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(root, folder / entry.name, (*ancestors, here))


def _marks_episode(entry: os.DirEntry[str]) -> bool:
    is_metadata = entry.name.startswith(METADATA_PREFIX) and entry.name.endswith(METADATA_SUFFIX)
    return is_metadata or entry.name == ROWS_FILE or (entry.name == RECORDINGS_FOLDER and entry.is_dir())


def _relative(root: Path, line: str) -> str | None:
    """The line as a path relative to `root`; None where it leads outside."""
    path = Path(os.path.normpath(root / line))
    for base in (Path(os.path.normpath(root)), root.resolve()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return None
