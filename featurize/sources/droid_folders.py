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

    A folder that cannot be listed counts as an episode, so that it shows up among the rejects. A folder
    without an episode that several links lead to is searched once, under its first name.
    """
    if not root.is_dir():
        raise SourceNotFoundError(
            f"Source {root} is no folder; point --source at the folder that holds the episodes."
        )
    yield from _walk(root)


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


def is_regular_file(path: Path) -> bool:
    """Whether a file lies there; a path that cannot be looked up, such as one too long, holds none."""
    try:
        return path.is_file()
    except OSError:
        return False


def leads_outside(folder: Path, path: Path) -> bool:
    """Whether `path`, or a link on its way, ends outside `folder`. A link in a circle ends where it lies."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _lines(episode_list: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        lines = episode_list.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EpisodeListError(f"Episode list {episode_list} cannot be read: {error}.") from error
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def _walk(root: Path) -> Iterator[str]:
    # Neither recursive, since folders may lie deeper than Python's recursion goes, nor without a memory,
    # since folders that link to each other give a path for every order of them.
    waiting, searched = [root], set[tuple[int, int]]()
    while waiting:
        folder = waiting.pop()
        try:
            status, entries = folder.stat(), sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder.relative_to(root).as_posix()
            continue
        if any(_marks_episode(entry) for entry in entries):
            yield folder.relative_to(root).as_posix()
        elif (here := (status.st_dev, status.st_ino)) not in searched:
            searched.add(here)
            waiting.extend(folder / entry.name for entry in reversed(entries) if _is_folder(entry))


def _marks_episode(entry: os.DirEntry[str]) -> bool:
    is_metadata = entry.name.startswith(METADATA_PREFIX) and entry.name.endswith(METADATA_SUFFIX)
    return is_metadata or entry.name == ROWS_FILE or (entry.name == RECORDINGS_FOLDER and _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _relative(root: Path, line: str) -> str | None:
    """The line as a path relative to `root`; None where it leads outside."""
    path = Path(os.path.normpath(root / line))
    for base in (Path(os.path.normpath(root)), root.resolve()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return None
