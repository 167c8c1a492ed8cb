"""Ways to damage what lies where: links, names, pipes, devices, folders in place of files, crowds."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.featurize.droid_files import DroidFolder
from tests.sweeps.damaged_bytes import Damage

PARTS: tuple[Callable[[DroidFolder], Path], ...] = (
    lambda folder: folder.video,
    lambda folder: folder.rows,
    lambda folder: folder.metadata,
)
FOLDERS = ("recordings", "recordings/MP4")
ODD_NAMES = (
    *(
        "\u2603",
        "e\u0301 \u00e9",
        "\u202etxt",
        "a\nb",
        "a\tb",
        " ",
        "-rf",
        "'\"`$(x)",
        "%s{0}",
        "\x01\x7f",
        "a" * 150,
    ),
    *("\u4e16" * 40, "\\", "*?[", "COM1", ".", "~"),
)


def part(folder: DroidFolder, rng: np.random.Generator) -> Path:
    """One of the three files."""
    return PARTS[rng.integers(len(PARTS))](folder)


def outside(folder: DroidFolder) -> Path:
    """A new place beside the source, outside of it."""
    place = folder.path.parent.parent / "outside" / folder.path.name
    place.mkdir(parents=True, exist_ok=True)
    return place


def removed_file(folder: DroidFolder, rng: np.random.Generator) -> None:
    part(folder, rng).unlink()


def file_outside(folder: DroidFolder, rng: np.random.Generator) -> None:
    file = part(folder, rng)
    file.symlink_to(shutil.move(file, outside(folder) / file.name))


def link_to_elsewhere(folder: DroidFolder, rng: np.random.Generator) -> None:
    """To itself, to nowhere, to a device, to a folder, to a file that is no part of the data."""
    file = part(folder, rng)
    file.unlink()
    targets = (
        file,
        file.with_name("nowhere"),
        "/dev/zero",
        "/dev/stdin",
        "/",
        "..",
        "/etc/passwd",
        "x" * 255,
    )
    file.symlink_to(targets[rng.integers(len(targets))])


def link_inside(folder: DroidFolder, rng: np.random.Generator) -> None:
    file = part(folder, rng)
    file.symlink_to(shutil.move(file, folder.path / "moved"))


def pipe_or_socket(folder: DroidFolder, rng: np.random.Generator) -> None:
    file = part(folder, rng)
    file.unlink()
    os.mknod(file, 0o600 | (stat.S_IFIFO if rng.random() < 0.5 else stat.S_IFSOCK))


def folder_for_a_file(folder: DroidFolder, rng: np.random.Generator) -> None:
    file = part(folder, rng)
    file.unlink()
    file.mkdir()


def file_for_a_folder(folder: DroidFolder, rng: np.random.Generator) -> None:
    place = folder.path / FOLDERS[rng.integers(len(FOLDERS))]
    shutil.rmtree(place)
    place.write_bytes(b"")


def folder_outside(folder: DroidFolder, rng: np.random.Generator) -> None:
    place = folder.path / FOLDERS[rng.integers(len(FOLDERS))]
    place.symlink_to(shutil.move(place, outside(folder) / place.name))


def folder_in_a_circle(folder: DroidFolder, rng: np.random.Generator) -> None:
    place = folder.path / FOLDERS[rng.integers(len(FOLDERS))]
    shutil.rmtree(place)
    place.symlink_to((place, folder.path, folder.path.parent)[rng.integers(3)])


def episode_outside(folder: DroidFolder, rng: np.random.Generator) -> None:
    """An episode that is itself a link is followed: that is how people put collections together."""
    folder.path.symlink_to(shutil.move(folder.path, outside(folder) / "episode"))


def odd_name(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Of the metadata, and so of the episode."""
    name = ODD_NAMES[rng.integers(len(ODD_NAMES))]
    folder.metadata.rename(folder.metadata.with_name(f"{folder.metadata.stem}{name}.json"))


def name_that_is_no_text(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Of the metadata or of the folder; Linux allows any bytes."""
    if rng.random() < 0.5:
        name = os.fsencode(folder.metadata.stem) + b"\xff\xed\xa0\x80.json"
        os.rename(folder.metadata, os.path.join(os.fsencode(folder.path), name))  # noqa: PTH104, PTH118 - bytes
    else:
        os.rename(folder.path, os.fsencode(folder.path) + b"\xc3\x28")  # noqa: PTH104 - bytes


def odd_folder_name(folder: DroidFolder, rng: np.random.Generator) -> None:
    name = ODD_NAMES[rng.integers(len(ODD_NAMES))].strip(".")
    folder.path.rename(folder.path.with_name(f"{folder.path.name}{name}"))


def deep_down(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Deeper than Python's recursion goes, and than a path may be long."""
    moved = folder.path.rename(folder.path.with_name(f"{folder.path.name}-moved"))
    here = os.open(folder.path.parent, os.O_RDONLY)
    try:
        for name in (folder.path.name, *["d"] * int(rng.choice([40, 1200, 2100]))):
            os.mkdir(name, dir_fd=here)
            here, above = os.open(name, os.O_RDONLY, dir_fd=here), here
            os.close(above)
        os.rename(moved, "episode", dst_dir_fd=here)
    finally:
        os.close(here)


def no_name(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.metadata.rename(folder.path / "metadata_.json")


def many_metadata(folder: DroidFolder, rng: np.random.Generator) -> None:
    for number in range(int(rng.choice([1, 2000]))):
        (folder.path / f"metadata_{number}.json").write_text("{}")


def the_name_of_another(folder: DroidFolder, rng: np.random.Generator) -> None:
    folder.metadata.rename(folder.path / "metadata_CLEAN+plain.json")


def folders_that_link_to_each_other(folder: DroidFolder, rng: np.random.Generator) -> None:
    """Every way through them is a path of its own: 12 of them have a billion."""
    names = [f"{folder.path.name}-web-{number}" for number in range(12)]
    for name in names:
        (folder.path.parent / name).mkdir()
    for name in names:
        for other in names:
            (folder.path.parent / name / other).symlink_to(folder.path.parent / other)


PATH_DAMAGES: tuple[Damage, ...] = (
    *(removed_file, file_outside, link_to_elsewhere, link_inside, pipe_or_socket, folder_for_a_file),
    *(file_for_a_folder, folder_outside, folder_in_a_circle, episode_outside, odd_name, name_that_is_no_text),
    *(odd_folder_name, deep_down, no_name, many_metadata, the_name_of_another),
    folders_that_link_to_each_other,
)


def crowded(place: str, num_entries: int) -> Damage:
    """So many more entries in one folder of the episode, or beside it ('..')."""

    def do(folder: DroidFolder, rng: np.random.Generator) -> None:
        crowd = folder.path / place
        for number in range(num_entries):
            (crowd / f"entry-{number}").mkdir() if place == ".." else (crowd / f"entry-{number}").touch()

    do.__name__ = f"{num_entries}_entries_in_{place}"
    return do
