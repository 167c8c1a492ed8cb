"""The byte-range reader, tensorstore and zarr-python read the same frames; nothing else is served."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_schema import file_maps
from store_schema.array_readers import TensorstoreReader
from store_schema.buffers import ClipBuffers
from store_schema.errors import MissingFramesError
from store_schema.file_maps import LEAST_BYTES
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_group
from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory


@pytest.fixture(params=[0, LEAST_BYTES], ids=["out of maps", "from files"], autouse=True)
def least_mapped_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores here are so small that all would come from files."""
    monkeypatch.setattr(file_maps, "LEAST_BYTES", request.param)


def read_clip(reader: ClipReader, first_frame: int, num_frames: int) -> ClipBuffers:
    store = reader.store
    buffers = ClipBuffers.allocate(
        num_clips=2, num_frames=num_frames, latent_shape=store.latent_shape, quantisation=store.quantisation
    )
    reader.read(first_frame, buffers, 1)
    return buffers


def of_clip(buffers: ClipBuffers) -> dict[str, np.ndarray]:
    arrays = {"latents": buffers.latents_BTND, "states": buffers.states_BTA, "actions": buffers.actions_BTA}
    if buffers.token_scale_BTN is not None:
        arrays["token_scale"] = buffers.token_scale_BTN
    return {name: entries[1] for name, entries in arrays.items()}


@st.composite
def windows(draw: st.DrawFn, trajectories: tuple[Trajectory, ...]) -> tuple[int, int]:
    """First frame and length of a window inside one trajectory."""
    trajectory = draw(st.sampled_from(trajectories))
    num_frames = draw(st.integers(1, trajectory.num_frames))
    start = draw(st.integers(0, trajectory.num_frames - num_frames))
    return trajectory.first_frame + start, num_frames


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_all_readers_agree_on_every_window(
    tiny_store: Path, float16_store: Path, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from([tiny_store, float16_store]))
    store = Store.open(path)
    first_frame, num_frames = data.draw(windows(store.trajectories))
    ours = of_clip(read_clip(ClipReader.open(store), first_frame, num_frames))
    theirs = of_clip(read_clip(ClipReader(store, TensorstoreReader(store)), first_frame, num_frames))
    group = open_group(path)
    for name, entries in ours.items():
        expected = np.asarray(group[name][first_frame : first_frame + num_frames])
        assert entries.tobytes() == theirs[name].tobytes() == expected.tobytes(), name


@pytest.mark.parametrize(("start", "num_frames"), [(112, 16), (113, 16), (127, 2), (128, 1), (0, 129)])
def test_windows_at_a_slot_boundary_agree_with_zarr_python(
    shared_store: Path, start: int, num_frames: int
) -> None:
    store = Store.open(shared_store)
    first_frame = store.trajectories[1].first_frame + start
    for name, entries in of_clip(read_clip(ClipReader.open(store), first_frame, num_frames)).items():
        expected = np.asarray(open_group(shared_store)[name][first_frame : first_frame + num_frames])
        assert entries.tobytes() == expected.tobytes(), name


def test_reading_leaves_the_other_clips_of_the_batch_alone(shared_store: Path) -> None:
    buffers = read_clip(ClipReader.open(Store.open(shared_store)), 3, 8)
    assert buffers.latents_BTND[1].any()
    assert not buffers.latents_BTND[0].any()


def test_thumbnails_agree_with_zarr_python_across_a_slot_boundary(shared_store: Path) -> None:
    store = Store.open(shared_store)
    first_frame = store.trajectories[1].first_frame + 120
    found = ClipReader.open(store).thumbnails(first_frame, 9)
    expected = np.asarray(open_group(shared_store)["thumbnails"][first_frame : first_frame + 9])
    assert found.tobytes() == expected.tobytes()


def test_a_window_past_the_end_of_its_trajectory_is_refused(shared_store: Path) -> None:
    reader = ClipReader.open(Store.open(shared_store))
    with pytest.raises(
        MissingFramesError, match=r"Frame 40 of slot 0 was asked for, but the slot holds 40 fr"
    ):
        read_clip(reader, 25, 16)
    with pytest.raises(MissingFramesError, match=r"Choose frames from `Store.trajectories`"):
        reader.thumbnails(40, 1)


@pytest.mark.parametrize("first_frame", [-1, 10_000 * SLOT_FRAMES])
def test_a_window_outside_the_arrays_is_refused(shared_store: Path, first_frame: int) -> None:
    reader = ClipReader.open(Store.open(shared_store))
    with pytest.raises(MissingFramesError, match="the slot is not written"):
        read_clip(reader, first_frame, 1)


def test_a_window_that_runs_on_into_the_next_trajectory_is_refused(make_store, tmp_path: Path) -> None:
    path = make_store(tmp_path / "full.zarr", trajectories=[(128, "train"), (20, "validation")])
    reader = ClipReader.open(Store.open(path))
    with pytest.raises(MissingFramesError, match="the slot begins another trajectory than the clip"):
        read_clip(reader, 120, 16)
    assert read_clip(reader, SLOT_FRAMES, 16).latents_BTND.any()
