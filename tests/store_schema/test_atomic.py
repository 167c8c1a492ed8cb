"""A file is the old one or the new one, whenever the process dies."""

import os
from pathlib import Path

import pytest

from store_schema import atomic
from store_schema.atomic import remove_partials, write_atomically


def names_in(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir())


def test_writes_a_file_and_the_folders_above_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "c/3/0", b"new")
    assert (tmp_path / "c/3/0").read_bytes() == b"new"
    assert names_in(tmp_path / "c/3") == ["0"]


@pytest.mark.parametrize("point", ["fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_before_the_rename_leaves_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def no_space(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(*((atomic.os, "fsync") if point == "fsync" else (Path, "replace")), no_space)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert (path.read_bytes() if path.exists() else None) == old
    assert names_in(tmp_path) == ([] if old is None else ["file"])


def test_data_and_names_are_made_durable_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before its rename; then its folder; every new folder in its parent before that."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        synced = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(f"sync {synced.name if synced.is_dir() else 'file'}")
        fsync(descriptor)

    def seen_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(atomic.os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    write_atomically(tmp_path / "c/3/0", b"new")
    assert steps == [f"sync {tmp_path.name}", "sync c", "sync file", "rename", "sync 3"]


def test_two_writers_of_one_file_do_not_share_a_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that outlived its build is halfway through the file when the next build writes it."""
    path, fsync = tmp_path / "file", os.fsync

    def interrupted(descriptor: int) -> None:
        monkeypatch.setattr(atomic.os, "fsync", fsync)
        write_atomically(path, b"the other writer's")
        assert path.read_bytes() == b"the other writer's"
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", interrupted)
    write_atomically(path, b"ours")
    assert path.read_bytes() == b"ours"
    assert names_in(tmp_path) == ["file"]


def test_remove_partials_takes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "c/0", b"kept")
    (tmp_path / "c/0.0badcafe.partial").write_bytes(b"torn")
    remove_partials(tmp_path)
    assert names_in(tmp_path / "c") == ["0"]
