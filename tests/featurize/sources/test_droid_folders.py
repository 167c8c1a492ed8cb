import os
import re
import subprocess
from pathlib import Path

import pytest

from featurize.sources.droid_folders import (
    EpisodeListError,
    SourceNotFoundError,
    is_regular_file,
    listed_locations,
    walk_locations,
)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_list(folder: Path, *lines: str) -> Path:
    path = folder / "episodes.txt"
    path.write_text("\n".join(lines))
    return path


def test_finds_folders_that_hold_any_part_of_an_episode(tmp_path):
    touch(tmp_path / "IRIS/success/a/trajectory.h5", tmp_path / "IRIS/failure/b/metadata_b.json")
    (tmp_path / "AUTOLab/success/c/recordings").mkdir(parents=True)
    expected = ["AUTOLab/success/c", "IRIS/failure/b", "IRIS/success/a"]
    assert list(walk_locations(tmp_path)) == expected


def test_other_files_make_no_episode(tmp_path):
    touch(
        tmp_path / "a/notes.json",
        tmp_path / "a/._metadata_x.json",
        tmp_path / "b/recordings",
        tmp_path / "c/x.mp4",
    )
    assert list(walk_locations(tmp_path)) == []


def test_does_not_look_inside_an_episode(tmp_path):
    touch(tmp_path / "a/trajectory.h5", tmp_path / "a/old/trajectory.h5")
    assert list(walk_locations(tmp_path)) == ["a"]


def test_the_root_may_itself_be_an_episode(tmp_path):
    touch(tmp_path / "trajectory.h5")
    assert list(walk_locations(tmp_path)) == ["."]


def test_follows_linked_folders_and_stops_at_a_loop(tmp_path):
    touch(tmp_path / "elsewhere/a/trajectory.h5")
    root = tmp_path / "root"
    (root / "lab").mkdir(parents=True)
    (root / "lab/linked").symlink_to(tmp_path / "elsewhere")
    (root / "lab/upwards").symlink_to(root)
    assert list(walk_locations(root)) == ["lab/linked/a"]


def test_a_folder_that_cannot_be_listed_counts_as_an_episode(tmp_path, monkeypatch):
    touch(tmp_path / "closed/x", tmp_path / "open/trajectory.h5")
    scandir = os.scandir

    def refuse_closed(folder):
        if folder == tmp_path / "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("featurize.sources.droid_folders.os.scandir", refuse_closed)
    assert list(walk_locations(tmp_path)) == ["closed", "open"]


def test_a_source_that_is_no_folder_is_named(tmp_path):
    with pytest.raises(SourceNotFoundError, match=rf"Source {tmp_path}/none is no folder; point --source at"):
        list(walk_locations(tmp_path / "none"))


def test_a_list_names_folders_relative_to_the_root_or_absolute(tmp_path):
    lines = ["IRIS/success/b", "", f"  {tmp_path}/IRIS/success/a  ", "IRIS/x/../failure/c/"]
    locations = listed_locations(tmp_path, write_list(tmp_path, *lines))
    assert list(locations) == ["IRIS/success/b", "IRIS/success/a", "IRIS/failure/c"]


def test_a_list_may_name_folders_below_what_the_root_links_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    locations = listed_locations(
        tmp_path / "link", write_list(tmp_path, f"{tmp_path}/real/a", f"{tmp_path}/link/b")
    )
    assert list(locations) == ["a", "b"]


@pytest.mark.parametrize("line", ["../other/a", "/elsewhere/a", "a/../../b"])
def test_a_list_may_not_lead_outside_the_root(tmp_path, line):
    message = f"episodes.txt, line 2: {line} is outside the source {tmp_path}."
    with pytest.raises(EpisodeListError, match=re.escape(message)):
        list(listed_locations(tmp_path, write_list(tmp_path, "a", line)))


def test_a_list_may_not_name_an_episode_twice(tmp_path):
    with pytest.raises(EpisodeListError, match=r"episodes.txt, line 3 repeats line 1: a\."):
        list(listed_locations(tmp_path, write_list(tmp_path, "a", "b", "./a")))


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(EpisodeListError, match=r"Episode list .*none.txt cannot be read: .*No such file"):
        list(listed_locations(tmp_path, tmp_path / "none.txt"))


def test_a_link_to_itself_is_no_folder(tmp_path):
    touch(tmp_path / "a/trajectory.h5")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "a/recordings").symlink_to(tmp_path / "a/recordings")
    assert list(walk_locations(tmp_path)) == ["a"]


def test_folders_that_link_to_each_other_are_searched_once(tmp_path):
    """Ten of them have ten million paths."""
    names = [f"web-{number}" for number in range(10)]
    touch(*(tmp_path / name / "file" for name in names), tmp_path / "web-9/episode/trajectory.h5")
    for name in names:
        for other in names:
            (tmp_path / name / other).symlink_to(tmp_path / other)
    (location,) = walk_locations(tmp_path)
    assert location.endswith("/episode")


def test_an_episode_may_lie_deeper_than_python_recurses(tmp_path):
    here, depth = os.open(tmp_path, os.O_RDONLY), 1100
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        above, here = here, os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.mkdir("recordings", dir_fd=here)
    os.close(here)
    assert list(walk_locations(tmp_path)) == ["/".join(["d"] * depth)]
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # deeper than shutil can remove


@pytest.mark.parametrize("name", ["x" * 300, "y"])
def test_a_path_that_cannot_be_looked_up_is_no_file(tmp_path, name):
    (tmp_path / "y").symlink_to(tmp_path / "y")
    assert not is_regular_file(tmp_path / name)
