"""Write the committed store of format 1, which every later version must be able to read.

    python tests/store_schema/data/make_format_1.py tests/store_schema/data/format_1.zarr

Two trajectories: five frames of 2 tokens x 4 channels in slot 0, and one that was rejected in slot 1. The
numbers are formulas of frame, token and channel; test_committed_store.py declares what they come to.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from store_schema import ledger
from store_schema.atomic import write_atomically
from store_schema.attributes import (
    DimensionStatistics,
    EncoderIdentity,
    Fingerprint,
    Preprocessing,
    SourceRecord,
    StoreAttributes,
    TrainingStatistics,
)
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE, Quantisation, array_specs
from store_schema.layout import FrameArrays, create_group, encode_whole
from store_schema.quantisation import ChannelStatistics
from store_schema.slot_writer import SlotWriter
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Reject, Trajectory, write_table

NUM_FRAMES = 5
STATISTICS = ChannelStatistics(
    mean_D=torch.tensor([0.0, 0.5, -1.0, 2.0]), std_D=torch.tensor([1.0, 2.0, 0.5, 4.0])
)


def main(path: Path) -> None:
    """Write the store to `path`, where nothing must be yet."""
    if path.exists():
        sys.exit(f"{path} exists; remove it first.")
    attributes = drawn_attributes()
    specs = array_specs(attributes.fingerprint.encoder.latent_shape, Quantisation.INT8)
    create_group(path, specs, attributes.num_slots, attributes.model_dump(mode="json"))
    for name, values_D in (("channel_mean", STATISTICS.mean_D), ("channel_std", STATISTICS.std_D)):
        relative, data = encode_whole(specs[name], values_D.numpy())
        write_atomically(path / relative, data)
    write_table(path / TRAJECTORIES_TABLE, [trajectory(0, "kept"), trajectory(1, "lost")], TRAJECTORY_SCHEMA)
    reject = Reject(episode_id="lost", stage="encode", reason="video_unreadable", detail="ends at frame 2")
    write_table(path / REJECTS_TABLE, [reject], REJECT_SCHEMA)
    writer = SlotWriter(path=path, specs=specs, fingerprint_sha256=attributes.fingerprint.sha256())
    writer.write(0, "kept", drawn_frames())
    writer.reject(1, reject.episode_id, reject.reason, reject.detail)
    ledger.merge(path)


def drawn_frames() -> FrameArrays:
    """The five frames; the third is black, the last has no action."""
    frame, token, channel, size = (np.arange(n) for n in (NUM_FRAMES, 2, 4, 7))
    actions = (frame[:, None] + size + 1) / 16
    actions[-1] = np.nan
    thumbnails = np.broadcast_to(frame[:, None, None, None] * 10 + 5, (NUM_FRAMES, 64, 64, 3)).copy()
    thumbnails[2] = 0
    return {
        "latents": (30 * frame[:, None, None] + 10 * token[:, None] + channel - 70).astype(np.int8),
        "token_scale": ((1 + frame[:, None] + token) / 64).astype(np.float16),
        "states": (frame[:, None] + size / 8).astype(np.float32),
        "actions": actions.astype(np.float32),
        "timestamps_seconds": frame / 4,
        "extrinsics": np.full((NUM_FRAMES, 6), np.nan, dtype=np.float32),
        "source_index": (4 * frame + 1).astype(np.int32),
        "thumbnails": thumbnails.astype(np.uint8),
    }


def trajectory(index: int, episode_id: str) -> Trajectory:
    """One row of the plan."""
    return Trajectory(
        index=index, episode_id=episode_id, lab="LAB", success=True, task="put the cup on the plate",
        camera="left", decoder="decord", view=0, phase=0.125, crop_top_px=1, crop_left_px=2,
        crop_height_px=90, crop_width_px=120, first_slot=index, num_frames=NUM_FRAMES, split="train",
    )  # fmt: skip


def drawn_attributes() -> StoreAttributes:
    """Root attributes of a sealed store; its statistics are declared, not computed."""
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
    dimensions = DimensionStatistics(mean=(0.0,) * 7, std=(1.0,) * 7)
    return StoreAttributes(
        format_version=1,
        uuid="9f1c7a52-5f0b-5d8e-9a52-6f6f1f0e2b11",
        num_slots=2,
        fingerprint=fingerprint,
        recipe={"seed": 0, "num_views": 1},
        source=SourceRecord(name="drawn", attribution="Drawn for the tests; no rights reserved."),
        library_versions={"numpy": "2.0.0"},
        statistics=TrainingStatistics(
            num_frames=NUM_FRAMES, states=dimensions, actions=dimensions, latent_slots=1, latent_change_l1=0.5
        ),
        sealed=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
