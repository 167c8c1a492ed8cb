"""Sealed feature stores for the peer benchmarks, written through `store_schema` as `featurize` writes them.

Legend: F frames, N tokens per frame, D encoder width, A action and state size (7).
"""

import math
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from store_schema.attributes import (
    EncoderIdentity,
    Fingerprint,
    Preprocessing,
    SourceRecord,
    StoreAttributes,
)
from store_schema.channel_arrays import write_channel_statistics
from store_schema.format import (
    REJECTS_TABLE,
    SLOT_FRAMES,
    STATE_SIZE,
    THUMBNAIL_SIZE_PX,
    TRAJECTORIES_TABLE,
    LatentShape,
    Quantisation,
    array_specs,
)
from store_schema.layout import FrameArrays, create_group
from store_schema.quantisation import ChannelStatistics
from store_schema.sealing import seal
from store_schema.slot_writer import SlotWriter
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Trajectory, write_table


def write_store(
    path: Path,
    *,
    latent_shape: LatentShape,
    frames_of_trajectories: list[int],
    statistics: ChannelStatistics,
    arrays_of: Callable[[int], FrameArrays],
) -> Store:
    """A sealed int8 store with one trajectory for each number of frames, at most 128 each.

    arrays_of: trajectory number to its `latents`, `token_scale`, `states`, `actions`; the rest is filled in.
    """
    assert max(frames_of_trajectories) <= SLOT_FRAMES, "a trajectory is one slot here"
    fingerprint = _fingerprint(latent_shape, statistics)
    table = [_trajectory(number, frames) for number, frames in enumerate(frames_of_trajectories)]
    attributes = _attributes(path.name, fingerprint, len(table))
    specs = array_specs(latent_shape, Quantisation.INT8)
    create_group(path, specs, attributes.num_slots, attributes.model_dump(mode="json"))
    write_channel_statistics(path, specs, statistics)
    write_table(path / TRAJECTORIES_TABLE, table, TRAJECTORY_SCHEMA)
    write_table(path / REJECTS_TABLE, [], REJECT_SCHEMA)
    writer = SlotWriter(path=path, specs=specs, fingerprint_sha256=fingerprint.sha256())
    for trajectory in table:
        frames = _filled(arrays_of(trajectory.index), trajectory.num_frames)
        writer.write(trajectory.first_slot, trajectory.episode_id, frames)
    seal(path, attributes, specs, training_statistics(Store.open(path)))
    return Store.open(path)


def write_random_store(path: Path, *, latent_shape: LatentShape, num_slots: int, seed: int = 0) -> Store:
    """Full slots of random codes: what they say means nothing, what they cost to read is what any cost."""
    rng = np.random.default_rng(seed)
    width = latent_shape.width

    def arrays_of(_number: int) -> FrameArrays:
        shape = (SLOT_FRAMES, latent_shape.num_tokens, width)
        states_FA, actions_FA = random_motion(rng, SLOT_FRAMES)
        return {
            "latents": rng.integers(-127, 128, shape, dtype=np.int8),
            "token_scale": rng.uniform(0.01, 0.03, shape[:2]).astype(np.float16),
            "states": states_FA,
            "actions": actions_FA,
        }

    return write_store(
        path,
        latent_shape=latent_shape,
        frames_of_trajectories=[SLOT_FRAMES] * num_slots,
        statistics=ChannelStatistics(mean_D=torch.zeros(width), std_D=torch.ones(width)),
        arrays_of=arrays_of,
    )


def random_motion(rng: np.random.Generator, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """States (F, A) of an arm that does not turn, and the actions between them, NaN at the last frame."""
    actions_FA = np.zeros((num_frames, STATE_SIZE), dtype=np.float32)
    actions_FA[:, :3] = rng.normal(scale=0.03, size=(num_frames, 3))
    states_FA = np.zeros_like(actions_FA)
    states_FA[1:] = np.cumsum(actions_FA[:-1], axis=0, dtype=np.float32)
    actions_FA[:-1] = states_FA[1:] - states_FA[:-1]
    actions_FA[-1] = np.nan
    return states_FA, actions_FA


def _filled(arrays: FrameArrays, num_frames: int) -> FrameArrays:
    thumbnail = (num_frames, THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX, 3)
    return {
        "timestamps_seconds": np.arange(num_frames) / 4.0,
        "extrinsics": np.full((num_frames, 6), np.nan, dtype=np.float32),
        "source_index": np.arange(0, 4 * num_frames, 4, dtype=np.int32),
        "thumbnails": np.ones(thumbnail, dtype=np.uint8),
        **arrays,
    }


def _trajectory(number: int, num_frames: int) -> Trajectory:
    crop = {"crop_top_px": 0, "crop_left_px": 0, "crop_height_px": 256, "crop_width_px": 256}
    return Trajectory(
        index=number, episode_id=f"episode-{number}", lab="LAB", success=True, task="", camera="left",
        decoder="pyav", view=0, phase=0.0, first_slot=number, num_frames=num_frames, split="train", **crop,
    )  # fmt: skip


def _fingerprint(latent_shape: LatentShape, statistics: ChannelStatistics) -> Fingerprint:
    side = math.isqrt(latent_shape.num_tokens)
    encoder = EncoderIdentity(
        name="benchmark",
        weights_sha256="0" * 64,
        image_size_px=16 * side,
        grid_height=side,
        grid_width=latent_shape.num_tokens // side,
        width=latent_shape.width,
        compute_dtype="float32",
    )
    preprocessing = Preprocessing(
        crop="official",
        resize="bilinear",
        mean_rgb=(123.675, 116.28, 103.53),
        std_rgb=(58.395, 57.12, 57.375),
    )
    return Fingerprint(
        encoder=encoder,
        preprocessing=preprocessing,
        clock="physical",
        frame_rate_hz=4.0,
        quantisation=Quantisation.INT8,
        channel_statistics_sha256=statistics.sha256(),
    )


def _attributes(name: str, fingerprint: Fingerprint, num_slots: int) -> StoreAttributes:
    return StoreAttributes(
        format_version=1,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {fingerprint.sha256()} {num_slots}")),
        num_slots=num_slots,
        num_trajectories=num_slots,
        fingerprint=fingerprint,
        recipe={"seed": 0, "validation_share": 0.0},
        source=SourceRecord(name="benchmark", attribution="Drawn.", licence="No rights reserved."),
        library_versions={"numpy": np.__version__},
        code_version="benchmark",
    )
