"""The store committed as data/format_1.zarr stays readable for ever, and is written the same today."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from store_schema.batch import ClipBatch
from store_schema.buffers import ClipBuffers
from store_schema.layout import FrameArrays, slot_path
from store_schema.quantisation import dequantise
from store_schema.reader import ClipReader
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store
from store_schema.verify import verify_hashes, verify_schema, verify_values

PATH = Path(__file__).parent / "data/format_1.zarr"
GROWN = PATH.with_name("format_1_grown.zarr")
CODES_OF_FRAME_3 = [[20, 21, 22, 23], [30, 31, 32, 33]]
SCALES_OF_FRAME_3 = [4 / 64, 5 / 64]
CHANNEL_MEAN = [0.0, 0.5, -1.0, 2.0]
CHANNEL_STD = [1.0, 2.0, 0.5, 4.0]
LATENTS_OF_FRAME_3 = [[1.25, 3.125, -0.3125, 7.75], [2.34375, 5.34375, 0.25, 12.3125]]


@pytest.fixture
def store() -> Store:
    return Store.open(PATH)


def test_it_is_intact_as_far_as_its_seal_goes() -> None:
    """It was sealed before seals held hashes."""
    assert list(verify_schema(PATH)) == []
    (problem,) = verify_hashes(PATH)
    assert (problem.kind, problem.where) == ("not_hashed", "zarr.json")


def test_its_attributes_are_read(store: Store) -> None:
    assert store.attributes.sealed
    assert store.attributes.uuid == "9f1c7a52-5f0b-5d8e-9a52-6f6f1f0e2b11"
    assert store.attributes.fingerprint.encoder.name == "drawn"
    assert store.attributes.fingerprint.sha256() == store.ledger[0].fingerprint_sha256


def test_its_tables_and_ledger_are_read(store: Store) -> None:
    assert [t.episode_id for t in store.planned_trajectories] == ["kept", "lost"]
    (kept,) = store.trajectories
    assert (kept.num_frames, kept.first_slot, kept.split, kept.phase) == (5, 0, "train", 0.125)
    assert kept.task == "put the cup on the plate"
    assert store.ledger[1].status == "rejected"
    assert store.rejects[0].detail == "ends at frame 2"
    assert store.rejects_by_reason() == {"video_unreadable": 1}
    assert store.missing_slots() == []


def test_its_latents_are_read_and_dequantised(store: Store) -> None:
    buffers = ClipBuffers.allocate(
        num_clips=1, num_frames=5, latent_shape=store.latent_shape, quantisation=store.quantisation
    )
    ClipReader.open(store).read(0, buffers, 0)
    batch = ClipBatch.of(buffers)
    assert batch.latents_BTND[0, 3].tolist() == CODES_OF_FRAME_3
    assert batch.token_scale_BTN is not None
    assert batch.token_scale_BTN[0, 3].tolist() == SCALES_OF_FRAME_3
    assert store.channel_statistics is not None
    latents = dequantise(batch.latents_BTND, batch.token_scale_BTN, store.channel_statistics)
    assert latents[0, 3].tolist() == LATENTS_OF_FRAME_3
    assert batch.states_BTA[0, 3].tolist() == [3.0, 3.125, 3.25, 3.375, 3.5, 3.625, 3.75]
    assert batch.actions_BTA[0, 3].tolist() == [0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5625, 0.625]


def test_its_arrays_are_read_by_zarr_python_alone() -> None:
    """The worked example of store_schema/README.md."""
    group = zarr.open_group(PATH, mode="r")
    assert group["channel_mean"][:].tolist() == CHANNEL_MEAN
    assert group["channel_std"][:].tolist() == CHANNEL_STD
    address = 0 * 128 + 3
    codes, scales = group["latents"][address], group["token_scale"][address]
    latent = codes * scales.astype("float32")[:, None] * group["channel_std"][:] + group["channel_mean"][:]
    assert latent.tolist() == LATENTS_OF_FRAME_3
    assert group["timestamps_seconds"][:6].tolist()[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert np.isnan(group["timestamps_seconds"][5])
    assert group["source_index"][:6].tolist() == [1, 5, 9, 13, 17, -1]
    assert np.isnan(group["actions"][4]).all()
    assert np.isnan(group["extrinsics"][:5]).all()


def test_its_thumbnails_are_read(store: Store) -> None:
    thumbnails = ClipReader.open(store).thumbnails(0, 5)
    assert thumbnails.shape == (5, 64, 64, 3)
    assert [int(frame.max()) for frame in thumbnails] == [5, 15, 0, 35, 45]


def test_the_same_frames_are_written_to_the_same_bytes_today(
    tmp_path: Path,
    writer_of: Callable[[Path], SlotWriter],
    frames_of: Callable[[Path, int], FrameArrays],
) -> None:
    """All but the thumbnails, whose bytes may change with the version of zstd."""
    copy = Path(shutil.copytree(PATH, tmp_path / "copy.zarr"))
    row = writer_of(copy).write(0, "kept", frames_of(PATH, 0))
    for name, spec in Store.open(PATH).specs.items():
        if spec.per_frame and name != "thumbnails":
            assert (copy / slot_path(spec, 0)).read_bytes() == (PATH / slot_path(spec, 0)).read_bytes(), name
    assert row.frame_xxh3 == Store.open(PATH).ledger[0].frame_xxh3


def test_the_numbers_declared_here_fit_the_formula() -> None:
    codes, scales = torch.tensor(CODES_OF_FRAME_3), torch.tensor(SCALES_OF_FRAME_3)
    latents = codes * scales[:, None] * torch.tensor(CHANNEL_STD) + torch.tensor(CHANNEL_MEAN)
    assert latents.tolist() == LATENTS_OF_FRAME_3


class TestGrownStore:
    """data/format_1_grown.zarr: sealed, grown once, sealed again, with a hash over every byte."""

    def test_it_breaks_no_rule(self) -> None:
        assert list(verify_values(GROWN)) == []

    def test_both_revisions_are_read(self) -> None:
        now, first = Store.open(GROWN), Store.open(GROWN, revision=1)
        assert [t.num_frames for t in now.trajectories] == [6, 4, 5]
        assert [t.num_frames for t in first.trajectories] == [6, 4]
        assert now.attributes.earlier_revisions[0].uuid == first.attributes.uuid != now.attributes.uuid
        assert first.attributes.statistics is not None
        assert now.attributes.statistics is not None
        assert (first.attributes.statistics.num_frames, now.attributes.statistics.num_frames) == (6, 11)

    def test_its_rows_and_latents_are_read(self) -> None:
        group = zarr.open_group(GROWN, mode="r")
        assert group["states"][2 * 128 + 3].tolist() == [2.375, 0, 0, 0, 0, 0, 0.1875]
        assert group["latents"][2 * 128 + 3].tolist() == [[-28, -27, -26, -25], [-8, -7, -6, -5]]
