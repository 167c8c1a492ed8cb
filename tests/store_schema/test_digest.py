"""Two stores are the same store when their digests are equal."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from store_schema.integrity import digest

TRAJECTORIES = [(20, "train"), (130, "validation")]


@pytest.fixture(scope="module")
def sealed(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("digest") / "one.zarr", trajectories=TRAJECTORIES)


def test_the_same_frames_give_the_same_digest(make_store, sealed: Path, tmp_path: Path) -> None:
    again = make_store(tmp_path / "of_another_name.zarr", trajectories=TRAJECTORIES)
    assert digest(again) == digest(sealed)


def test_other_frames_give_another_digest(make_store, sealed: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other.zarr", trajectories=TRAJECTORIES, seed=1)
    assert digest(other) != digest(sealed)


def test_working_files_and_leftovers_do_not_count(sealed: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(sealed, tmp_path / "store.zarr"))
    (store / "build").mkdir()
    (store / "build/index.parquet").write_bytes(b"working")
    (store / "latents/c/0/0/0.0badcafe.partial").write_bytes(b"torn")
    assert digest(store) == digest(sealed)


@pytest.mark.parametrize("name", ["latents/c/1/0/0", "zarr.json", "ledger.parquet", "states/zarr.json"])
def test_every_file_counts(sealed: Path, tmp_path: Path, name: str) -> None:
    store = Path(shutil.copytree(sealed, tmp_path / "store.zarr"))
    data = (store / name).read_bytes()
    (store / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert digest(store) != digest(sealed)


def test_the_name_of_a_file_counts(sealed: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(sealed, tmp_path / "store.zarr"))
    (store / "latents/c/2").rename(store / "latents/c/7")
    assert digest(store) != digest(sealed)
