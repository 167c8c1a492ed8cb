"""Stores to look into, to copy and to damage, all from the shared `make_store`.

`TINY_TRAJECTORIES` of tests/conftest.py gives the slots: 0 has 40 frames, 1 and 2 hold a trajectory of 129.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from store_schema.format import SLOT_FRAMES, Quantisation
from store_schema.layout import FrameArrays, open_group
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store


@pytest.fixture(scope="session")
def float16_store(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny store again, with float16 latents; tests share it and must not change it."""
    return make_store(tmp_path_factory.mktemp("shared") / "float16.zarr", quantisation=Quantisation.FLOAT16)


@pytest.fixture(params=["int8", "float16"])
def shared_store(request: pytest.FixtureRequest) -> Path:
    """Each of the two kinds of store in turn; not to be changed."""
    return request.getfixturevalue({"int8": "tiny_store", "float16": "float16_store"}[request.param])


@pytest.fixture
def own_store(shared_store: Path, tmp_path: Path) -> Path:
    """A copy of each kind of store, to be changed."""
    return Path(shutil.copytree(shared_store, tmp_path / "own.zarr"))


@pytest.fixture
def int8_store(tiny_store: Path, tmp_path: Path) -> Path:
    """A copy of the int8 store, to be changed."""
    return Path(shutil.copytree(tiny_store, tmp_path / "int8.zarr"))


@pytest.fixture(scope="session")
def building_store(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 store whose slots are written but not sealed: 5 frames, 129 frames; not to be changed."""
    trajectories = [(5, "train"), (129, "validation")]
    path = tmp_path_factory.mktemp("shared") / "building.zarr"
    return make_store(path, trajectories=trajectories, sealed=False)


@pytest.fixture
def unsealed_store(building_store: Path, tmp_path: Path) -> Path:
    """A copy of the building store, to be changed: slot 0 has 5 frames, 1 and 2 a trajectory of 129."""
    return Path(shutil.copytree(building_store, tmp_path / "unsealed.zarr"))


@pytest.fixture(scope="session")
def writer_of() -> Callable[[Path], SlotWriter]:
    """`writer_of(path)` writes slots of the store at `path` again."""

    def build(path: Path) -> SlotWriter:
        store = Store.open(path)
        fingerprint = store.attributes.fingerprint.sha256()
        return SlotWriter(path=path, specs=store.specs, fingerprint_sha256=fingerprint)

    return build


@pytest.fixture(scope="session")
def frames_of() -> Callable[[Path, int], FrameArrays]:
    """`frames_of(path, slot)` reads all arrays of a slot with zarr-python, to change and write again."""

    def read(path: Path, slot: int) -> FrameArrays:
        store, group = Store.open(path), open_group(path)
        first = slot * SLOT_FRAMES
        stop = first + store.ledger[slot].num_frames
        names = [name for name, spec in store.specs.items() if spec.per_frame]
        return {name: np.array(group[name][first:stop]) for name in names}

    return read
