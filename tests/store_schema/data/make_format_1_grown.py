"""Write the committed store that has grown once, which every later version must be able to read and verify.

    python tests/store_schema/data/make_format_1_grown.py tests/store_schema/data/format_1_grown.zarr

Revision 1 has two trajectories, of 6 frames for training and of 4 held out; revision 2 has one more of 5. All
numbers are formulas: the arm moves 1/8 m a frame and never turns, and latents follow it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from featurize.growth import append
from store_schema.attributes import (
    EncoderIdentity,
    Fingerprint,
    Preprocessing,
    SourceRecord,
    StoreAttributes,
)
from store_schema.channel_arrays import write_channel_statistics
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE, Quantisation, array_specs
from store_schema.identity import revision_uuid
from store_schema.layout import FrameArrays, create_group
from store_schema.quantisation import ChannelStatistics
from store_schema.sealing import seal
from store_schema.slot_writer import SlotWriter
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Split, Trajectory, write_table

STATISTICS = ChannelStatistics(
    mean_D=torch.tensor([0.0, 0.5, -1.0, 2.0]), std_D=torch.tensor([1.0, 2.0, 0.5, 4.0])
)
PLANNED: tuple[tuple[int, Split], ...] = ((6, "train"), (4, "validation"), (5, "train"))
NUM_FIRST = 2


def main(path: Path) -> None:
    """Write the store to `path`, where nothing must be yet."""
    if path.exists():
        sys.exit(f"{path} exists; remove it first.")
    planned = [trajectory(index) for index in range(len(PLANNED))]
    create(path, planned[:NUM_FIRST])
    finish(path)
    uuid = revision_uuid(Store.open(path).attributes.fingerprint, planned)
    append(Store.open(path), planned[NUM_FIRST:], uuid=uuid)
    finish(path)


def create(path: Path, planned: list[Trajectory]) -> None:
    """The empty store."""
    attributes = drawn_attributes(planned)
    specs = array_specs(attributes.fingerprint.encoder.latent_shape, Quantisation.INT8)
    write_channel_statistics(path, specs, STATISTICS)
    write_table(path / TRAJECTORIES_TABLE, planned, TRAJECTORY_SCHEMA)
    write_table(path / REJECTS_TABLE, [], REJECT_SCHEMA)
    create_group(path, specs, attributes.num_slots, attributes.model_dump(mode="json"))


def finish(path: Path) -> None:
    """Write the slots that are missing, and seal."""
    store = Store.open(path)
    sha256 = store.attributes.fingerprint.sha256()
    writer = SlotWriter(path=path, specs=store.specs, fingerprint_sha256=sha256)
    for slot in store.missing_slots():
        writer.write(slot, f"episode-{slot}", drawn_frames(slot, PLANNED[slot][0]))
    store = Store.open(path)
    seal(path, store.attributes, store.specs, training_statistics(store))


def drawn_frames(slot: int, num_frames: int) -> FrameArrays:
    """Trajectory `slot`; each takes one slot."""
    frame, token, channel = (np.arange(n) for n in (num_frames, 2, 4))
    states = np.zeros((num_frames, 7), dtype=np.float32)
    states[:, 0], states[:, 6] = frame / 8 + slot, frame / 16
    actions = np.zeros((num_frames, 7), dtype=np.float32)
    actions[:, 0], actions[:, 6], actions[-1] = 1 / 8, 1 / 16, np.nan
    pictures = np.broadcast_to(frame[:, None, None, None] * 10 + 5, (num_frames, 64, 64, 3))
    codes = 10 * frame[:, None, None] + 20 * token[:, None] + channel + slot - 60
    return {
        "latents": codes.astype(np.int8),
        "token_scale": ((1 + frame[:, None] + token) / 64).astype(np.float16),
        "states": states,
        "actions": actions,
        "timestamps_seconds": (frame + 0.125) / 4,
        "extrinsics": np.full((num_frames, 6), np.nan, dtype=np.float32),
        "source_index": (4 * frame + 1).astype(np.int32),
        "thumbnails": pictures.astype(np.uint8),
    }


def trajectory(index: int) -> Trajectory:
    """One row of the plan."""
    num_frames, split = PLANNED[index]
    return Trajectory(
        index=index, episode_id=f"episode-{index}", lab="LAB", success=True, task="put the cup on the plate",
        camera="left", decoder="pyav", view=0, phase=0.125, crop_top_px=1, crop_left_px=2, crop_height_px=90,
        crop_width_px=120, first_slot=index, num_frames=num_frames, split=split,
    )  # fmt: skip


def drawn_attributes(planned: list[Trajectory]) -> StoreAttributes:
    """Root attributes of the store before anything is written."""
    encoder = EncoderIdentity(name="drawn", weights_sha256="0" * 64, image_size_px=32, grid_height=1,
                              grid_width=2, width=4, compute_dtype="float32")  # fmt: skip
    preprocessing = Preprocessing(
        crop="random", resize="bilinear", mean_rgb=(123.675, 116.28, 103.53), std_rgb=(58.395, 57.12, 57.375)
    )
    fingerprint = Fingerprint(
        encoder=encoder,
        preprocessing=preprocessing,
        clock="physical",
        frame_rate_hz=4.0,
        quantisation=Quantisation.INT8,
        channel_statistics_sha256=STATISTICS.sha256(),
    )
    return StoreAttributes(
        format_version=1,
        uuid=revision_uuid(fingerprint, planned),
        num_slots=len(planned),
        num_trajectories=len(planned),
        fingerprint=fingerprint,
        recipe={"seed": 0, "num_views": 1},
        source=SourceRecord(name="drawn", attribution="Drawn for the tests.", licence="No rights reserved."),
        library_versions={"numpy": "2.0.0"},
        code_version="drawn",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
