"""What is hard to keep survives a write and a read, through every reader alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr
from numpy.typing import NDArray

from store_schema.array_readers import TensorstoreReader
from store_schema.format import SLOT_FRAMES, Quantisation
from store_schema.layout import FrameArrays, slot_path
from store_schema.ledger import merge
from store_schema.ledger_row import HASHED_ARRAYS
from store_schema.reader import ClipReader
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store

BLACK_FRAME = 5
NUM_FRAMES = SLOT_FRAMES + 1
Read = Callable[[Path, str], NDArray[np.generic]]


@pytest.fixture(scope="module", params=list(Quantisation))
def hard_store(
    request: pytest.FixtureRequest,
    make_store: Callable[..., Path],
    writer_of: Callable[[Path], SlotWriter],
    frames_of: Callable[[Path, int], FrameArrays],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, FrameArrays]:
    """A trajectory of 129 frames, its frames 5 and 128 black with zero latents; and what was written."""
    path = make_store(
        tmp_path_factory.mktemp("hard") / "hard.zarr",
        trajectories=[(NUM_FRAMES, "train")],
        quantisation=request.param,
        sealed=False,
    )
    parts = [frames_of(path, slot) for slot in (0, 1)]
    for part, black in zip(parts, (BLACK_FRAME, 0), strict=True):
        part["thumbnails"][black] = 0
        part["latents"][black] = 0
    for slot, part in enumerate(parts):
        writer_of(path).write(slot, "episode-0", part)
    merge(path)
    return path, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read_with_zarr(path: Path, name: str) -> NDArray[np.generic]:
    return np.asarray(zarr.open_group(path, mode="r")[name][:NUM_FRAMES])


def read_with_tensorstore(path: Path, name: str) -> NDArray[np.generic]:
    kvstore = {"driver": "file", "path": str(path / name)}
    spec = {"driver": "zarr3", "kvstore": kvstore, "fill_missing_data_reads": False}
    return np.asarray(tensorstore.open(spec, read=True).result()[:NUM_FRAMES].read().result())


def read_byte_ranges(path: Path, name: str) -> NDArray[np.generic]:
    return _read_with(ClipReader.open(Store.open(path)), name)


def read_through_our_tensorstore(path: Path, name: str) -> NDArray[np.generic]:
    store = Store.open(path)
    return _read_with(ClipReader(store, TensorstoreReader(store)), name)


def _read_with(reader: ClipReader, name: str) -> NDArray[np.generic]:
    if name == "thumbnails":
        return reader.thumbnails(0, NUM_FRAMES)
    spec = reader.store.specs[name]
    out = {name: np.full((NUM_FRAMES, *spec.item_shape), 99, dtype=spec.dtype)}
    reader.read_arrays(0, out)
    return out[name]


READERS = [read_byte_ranges, read_through_our_tensorstore, read_with_zarr, read_with_tensorstore]


@pytest.mark.parametrize("read", READERS)
def test_a_trajectory_one_frame_longer_than_a_slot_survives_every_reader(
    hard_store: tuple[Path, FrameArrays], read: Read
) -> None:
    path, written = hard_store
    for name, entries in written.items():
        found = read(path, name)
        assert found.dtype == entries.dtype
        assert found.tobytes() == entries.tobytes(), name


@pytest.mark.parametrize("read", READERS)
def test_an_all_black_frame_keeps_its_thumbnail_and_its_latent(
    hard_store: tuple[Path, FrameArrays], read: Read
) -> None:
    path, _ = hard_store
    for frame in (BLACK_FRAME, SLOT_FRAMES):
        assert not read(path, "thumbnails")[frame].any()
        assert not read(path, "latents")[frame].any()
    assert read(path, "thumbnails")[BLACK_FRAME + 1].any()


@pytest.mark.parametrize("read", READERS)
def test_an_all_nan_action_chunk_survives(hard_store: tuple[Path, FrameArrays], read: Read) -> None:
    path, _ = hard_store
    actions_FA = read(path, "actions")
    assert np.isfinite(actions_FA[:SLOT_FRAMES]).all()
    assert np.isnan(actions_FA[SLOT_FRAMES]).all()


def test_every_array_has_one_file_per_slot_even_where_all_is_fill_value(
    hard_store: tuple[Path, FrameArrays],
) -> None:
    path, _ = hard_store
    for spec in (spec for spec in Store.open(path).specs.values() if spec.per_frame):
        for slot in (0, 1):
            assert (path / slot_path(spec, slot)).is_file(), (spec.name, slot)


def test_frames_that_do_not_exist_take_no_bytes(hard_store: tuple[Path, FrameArrays]) -> None:
    path, _ = hard_store
    latents = Store.open(path).specs["latents"]
    index_bytes = SLOT_FRAMES * 16 + 4
    assert (path / slot_path(latents, 1)).stat().st_size == latents.item_bytes + index_bytes


def test_damage_is_looked_for_where_latents_scales_states_and_actions_are_read_together(
    hard_store: tuple[Path, FrameArrays],
) -> None:
    path, written = hard_store
    store = Store.open(path)
    names = [name for name in HASHED_ARRAYS if name in store.specs]
    out = {name: np.zeros_like(written[name]) for name in names}
    ClipReader.open(store).read_arrays(0, out)
    assert all(out[name].tobytes() == written[name].tobytes() for name in names)
