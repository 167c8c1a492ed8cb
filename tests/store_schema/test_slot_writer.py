"""A slot is whole or not there; the same frames give the same bytes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from store_schema import slot_writer
from store_schema.errors import SchemaError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import FrameArrays, slot_path
from store_schema.reader import ClipReader
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store

WriterOf = Callable[[Path], SlotWriter]
FramesOf = Callable[[Path, int], FrameArrays]


def slot_bytes(path: Path, slot: int) -> dict[str, bytes]:
    specs = [spec for spec in Store.open(path).specs.values() if spec.per_frame]
    return {spec.name: (path / slot_path(spec, slot)).read_bytes() for spec in specs}


def row_path(path: Path, slot: int) -> Path:
    return path / f"ledger/{slot:08d}.json"


def test_the_same_frames_give_the_same_files_and_row(
    unsealed_store: Path, writer_of: WriterOf, frames_of: FramesOf
) -> None:
    before = slot_bytes(unsealed_store, 1), row_path(unsealed_store, 1).read_bytes()
    writer_of(unsealed_store).write(1, "episode-1", frames_of(unsealed_store, 1))
    assert (slot_bytes(unsealed_store, 1), row_path(unsealed_store, 1).read_bytes()) == before


def test_a_slot_is_invisible_until_its_row_is_there(
    unsealed_store: Path, writer_of: WriterOf, frames_of: FramesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the last file and the row; the files may lie there, nobody sees them."""
    frames, writer = frames_of(unsealed_store, 2), writer_of(unsealed_store)
    row_path(unsealed_store, 2).unlink()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slot_writer, "record", die)
    with pytest.raises(KeyboardInterrupt):
        writer.write(2, "episode-1", frames)
    assert len(slot_bytes(unsealed_store, 2)) == len(frames)
    store = Store.open(unsealed_store)
    assert store.missing_slots() == [2]
    assert [trajectory.index for trajectory in store.trajectories] == [0]
    monkeypatch.undo()
    writer.write(2, "episode-1", frames)
    assert Store.open(unsealed_store).missing_slots() == []


def test_the_row_is_written_after_every_file(
    unsealed_store: Path, writer_of: WriterOf, frames_of: FramesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, writer = frames_of(unsealed_store, 0), writer_of(unsealed_store)
    written: list[str] = []
    write_atomically = slot_writer.write_atomically
    monkeypatch.setattr(
        slot_writer, "write_atomically", lambda p, d: (written.append("file"), write_atomically(p, d))
    )
    monkeypatch.setattr(slot_writer, "record", lambda *_: written.append("row"))
    writer.write(0, "episode-0", frames)
    assert written == ["file"] * len(frames) + ["row"]


def test_a_full_slot_and_a_single_frame_can_be_written(
    unsealed_store: Path, writer_of: WriterOf, frames_of: FramesOf
) -> None:
    assert (
        writer_of(unsealed_store).write(1, "episode-1", frames_of(unsealed_store, 1)).num_frames
        == SLOT_FRAMES
    )
    assert writer_of(unsealed_store).write(2, "episode-1", frames_of(unsealed_store, 2)).num_frames == 1


def test_frames_need_not_be_contiguous_in_memory(
    unsealed_store: Path, writer_of: WriterOf, frames_of: FramesOf
) -> None:
    frames = {name: np.repeat(a, 2, axis=0)[::2] for name, a in frames_of(unsealed_store, 0).items()}
    before = slot_bytes(unsealed_store, 0)
    row = writer_of(unsealed_store).write(0, "episode-0", frames)
    assert slot_bytes(unsealed_store, 0) == before
    assert row == Store.open(unsealed_store).ledger[0]


def test_a_rejected_slot_is_settled_and_its_trajectory_is_left_out(
    unsealed_store: Path, writer_of: WriterOf
) -> None:
    row_path(unsealed_store, 2).unlink()
    writer_of(unsealed_store).reject(2, "episode-1", "video_unreadable", "ends at frame 3")
    store = Store.open(unsealed_store)
    assert store.missing_slots() == []
    assert [trajectory.index for trajectory in store.trajectories] == [0]
    assert store.rejects_by_reason() == {"video_unreadable": 1}


def test_refuses_arrays_of_different_lengths(unsealed_store, writer_of, frames_of) -> None:
    frames = frames_of(unsealed_store, 0)
    frames["states"] = frames["states"][:-1]
    with pytest.raises(
        SchemaError, match=r"arrays of slot 0 hold different numbers of frames: .*'states': 4"
    ):
        writer_of(unsealed_store).write(0, "episode-0", frames)


def test_refuses_missing_and_unknown_arrays(unsealed_store, writer_of, frames_of) -> None:
    frames = frames_of(unsealed_store, 0)
    frames["thumbnail"] = frames.pop("thumbnails")
    with pytest.raises(
        SchemaError, match=r"Slot 0 has arrays .*'thumbnail',.*format 1 requires .*'thumbnails',"
    ):
        writer_of(unsealed_store).write(0, "episode-0", frames)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "states",
            lambda a: a.astype(np.float64),
            r"Slot 0 of array 'states' is float64 \(5, 7\); expected 1 to",
        ),
        ("states", lambda a: a.astype(">f4"), r"'states' is >f4 \(5, 7\); .* of float32 \(7,\)"),
        (
            "actions",
            lambda a: a[:, :6],
            r"'actions' is float32 \(5, 6\); expected 1 to 128 frames of float32 \(7,",
        ),
        (
            "latents",
            lambda a: np.where(a == a[2, 1, 3], -128, a).astype(np.int8),
            "'latents' holds -128, NaN or",
        ),
        (
            "token_scale",
            lambda a: a * np.float16(np.nan),
            r"'token_scale' holds -128, NaN .*codes lie within \+-127",
        ),
    ],
)
def test_refuses_entries_that_format_1_has_no_place_for(
    unsealed_store, writer_of, frames_of, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    frames = frames_of(unsealed_store, 0)
    frames[name] = change(frames[name])
    with pytest.raises(SchemaError, match=message):
        writer_of(unsealed_store).write(0, "episode-0", frames)


@pytest.mark.parametrize("num_frames", [0, SLOT_FRAMES + 1])
def test_refuses_no_frames_and_more_than_a_slot_holds(
    unsealed_store, writer_of, frames_of, num_frames: int
) -> None:
    frames = {
        name: np.resize(a, (num_frames, *a.shape[1:])) for name, a in frames_of(unsealed_store, 0).items()
    }
    with pytest.raises(SchemaError, match=rf"\({num_frames}, .*expected 1 to 128 frames of"):
        writer_of(unsealed_store).write(0, "episode-0", frames)


def test_float16_latents_that_are_nan_are_refused(float16_store: Path, writer_of, frames_of) -> None:
    """NaN is the fill value: such a frame would vanish from its shard."""
    frames = frames_of(float16_store, 0)
    frames["latents"][7] = np.nan
    with pytest.raises(SchemaError, match="Slot 0 of array 'latents' holds -128, NaN or infinite values"):
        writer_of(float16_store).write(0, "episode-0", frames)


def test_what_was_refused_leaves_the_slot_as_it_was(unsealed_store, writer_of, frames_of) -> None:
    before = slot_bytes(unsealed_store, 0)
    frames = frames_of(unsealed_store, 0)
    frames["thumbnails"] = frames["thumbnails"].astype(np.int32)
    with pytest.raises(SchemaError, match="thumbnails"):
        writer_of(unsealed_store).write(0, "episode-0", frames)
    assert slot_bytes(unsealed_store, 0) == before
    assert len(ClipReader.open(Store.open(unsealed_store)).thumbnails(0, 5)) == 5
