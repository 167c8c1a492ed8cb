"""What a run folder remembers."""

from pathlib import Path

import pytest

from train.run_folder import RunFolder, RunNotFoundError


def test_remembers_where_its_store_lies(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.remember_store(tmp_path / "features.zarr")
    assert folder.remembered_store() == tmp_path / "features.zarr"


def test_says_how_to_name_a_store_it_was_never_told(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match=r"does not say where its store lies; give it with --store"):
        RunFolder(tmp_path).remembered_store()
