"""Past the page cache the same bytes are read, where that is chosen and where the file system can."""

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from store_schema import direct_io
from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.errors import DamagedStoreError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_group, slot_path
from store_schema.reader import ClipReader
from store_schema.store import Store

FRAMES = {"of whole blocks": (64, 128), "of 1.5 kB, as the demo has": (16, 96), "of 32 bytes": (4, 8)}


@pytest.fixture(scope="module", params=FRAMES.values(), ids=FRAMES)
def store_path(request: pytest.FixtureRequest, make_store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slot 0 has 40 frames, slots 1 and 2 a trajectory of 129."""
    num_tokens, width = request.param
    path = tmp_path_factory.mktemp("direct") / "frames.zarr"
    lengths = [(40, "train"), (129, "train"), (16, "validation")]
    return make_store(path, trajectories=lengths, num_tokens=num_tokens, width=width)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fits into it."""
    monkeypatch.setattr(direct_io, "memory_bytes", lambda: 0)


@pytest.fixture
def direct_store(store_path: Path, no_memory: None) -> Store:
    """Of a file system that can."""
    store = Store.open(store_path)
    if not direct_io.can_read_directly(store_path / slot_path(store.specs["latents"], 0)):
        pytest.skip("the temporary folder's file system has no direct I/O")
    return store


def read_clip(store: Store, first_frame: int, num_frames: int) -> ClipBuffers:
    reader = ClipReader.open(store)
    assert reader.array_reader.direct
    shape = ClipShape(
        num_clips=3, num_frames=num_frames, latent_shape=store.latent_shape, quantisation=store.quantisation
    )
    buffers = ClipBuffers.of_shape(shape)
    reader.read(first_frame, buffers, 1)
    return buffers


@pytest.mark.parametrize(
    ("first_frame", "num_frames"),
    [(0, 16), (24, 16), (39, 1), (0, 40), (SLOT_FRAMES + 120, 9), (SLOT_FRAMES, 129), (2 * SLOT_FRAMES, 1)],
)
def test_the_same_frames_come_past_the_page_cache(
    direct_store: Store, first_frame: int, num_frames: int
) -> None:
    buffers, group = read_clip(direct_store, first_frame, num_frames), open_group(direct_store.path)
    ours = {"latents": buffers.latents_BTND, "token_scale": buffers.token_scale_BTN}
    for name, entries in ours.items():
        expected = np.asarray(group[name][first_frame : first_frame + num_frames])
        assert entries[1].tobytes() == expected.tobytes(), name
        assert not entries[[0, 2]].any(), "the other clips of the batch are left alone"


def test_windows_of_different_length_share_a_thread(direct_store: Store) -> None:
    expected = np.asarray(open_group(direct_store.path)["latents"][:40])
    for first_frame, num_frames in [(3, 1), (1, 30), (7, 2), (5, 35)]:
        found = read_clip(direct_store, first_frame, num_frames).latents_BTND[1]
        assert found.tobytes() == expected[first_frame : first_frame + num_frames].tobytes()


def test_a_shard_cut_after_its_first_reading_is_an_error(make_store, tmp_path: Path, no_memory: None) -> None:
    path = make_store(tmp_path / "cut.zarr", trajectories=[(20, "train"), (16, "validation")], num_tokens=64,
                      width=128)  # fmt: skip
    reader = ClipReader.open(Store.open(path))
    latents = np.empty((20, 64, 128), dtype=np.int8)
    reader.read_arrays(0, {"latents": latents})
    shard = path / slot_path(reader.store.specs["latents"], 0)
    for size_bytes in (19 * 64 * 128, 19 * 64 * 128 + 5, 0):
        os.truncate(shard, size_bytes)
        with pytest.raises(DamagedStoreError, match="Slot 0 of array 'latents' ends too early"):
            reader.read_arrays(0, {"latents": latents})


@pytest.mark.parametrize(("times", "is_direct"), [(1.99, True), (2.0, False)])
def test_latents_that_fit_into_half_of_the_memory_come_through_the_page_cache(
    direct_store: Store, monkeypatch: pytest.MonkeyPatch, times: float, is_direct: bool
) -> None:
    latent_bytes = 185 * direct_store.specs["latents"].item_bytes
    monkeypatch.setattr(direct_io, "memory_bytes", lambda: times * latent_bytes)
    assert ClipReader.open(direct_store).array_reader.direct is is_direct


def test_a_file_system_that_refuses_is_read_through_the_page_cache_and_said_once(
    store_path: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain = os.open

    def refusing(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return plain(path, flags, *rest)

    monkeypatch.setattr(direct_io.os, "open", refusing)
    store = Store.open(store_path)
    with caplog.at_level(logging.INFO):
        reader = ClipReader.open(store)
        latents = np.empty((40, *store.specs["latents"].item_shape), dtype=np.int8)
        reader.read_arrays(0, {"latents": latents})
    assert latents.tobytes() == np.asarray(open_group(store_path)["latents"][:40]).tobytes()
    (message,) = caplog.messages
    assert message.startswith("The latents of frames.zarr do not fit into memory, and its file system offers")


@pytest.mark.parametrize(("limit", "expected"), [("1048576", 2**20), ("max", None), (str(2**60), None)])
def test_memory_is_what_a_container_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int | None
) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    files = (str(tmp_path / "memory.max"), str(tmp_path / "of another version"))
    monkeypatch.setattr(direct_io, "_CGROUP_LIMITS", files)
    assert direct_io.memory_bytes() == (physical if expected is None else expected)
