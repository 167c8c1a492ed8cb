"""What a run folder remembers."""

from pathlib import Path

import pytest

from train.run_folder import RunFolder, RunNotFoundError, write_json


def test_remembers_where_its_store_lies(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    write_json(folder.recipe, {})
    folder.remember_store(tmp_path / "features.zarr")
    assert folder.remembered_store() == tmp_path / "features.zarr"


def test_says_how_to_name_a_store_it_was_never_told(tmp_path: Path) -> None:
    write_json(RunFolder(tmp_path).recipe, {})
    with pytest.raises(RunNotFoundError, match=r"does not say where its store lies; give it with --store"):
        RunFolder(tmp_path).remembered_store()


@pytest.mark.parametrize("name", ["", "nothing/here"])
def test_says_where_there_is_no_run_at_all(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunNotFoundError, match=r"There is no run in .*; `permafrost train` makes one"):
        RunFolder(tmp_path / name).remembered_store()
