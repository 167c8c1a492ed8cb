"""Tiny stores for every test: drawn trajectories whose latents follow the arm, written through store_schema.

Legend: F frames, N tokens per frame, D encoder width, A action and state size (7).
"""

import math
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch.nn import functional as F

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
    STATE_SIZE,
    THUMBNAIL_SIZE_PX,
    TRAJECTORIES_TABLE,
    Quantisation,
    array_specs,
)
from store_schema.layout import FrameArrays, create_group
from store_schema.quantisation import ChannelStatistics, quantise
from store_schema.sealing import seal
from store_schema.slot_writer import SlotWriter
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Split, Trajectory, write_table

MakeStore = Callable[..., Path]
# One spans two slots, one is exactly a clip of 16 frames long, and two are too short for a clip.
TINY_TRAJECTORIES: tuple[tuple[int, Split], ...] = (
    (40, "train"),
    (129, "train"),
    (16, "train"),
    (12, "train"),
    (24, "train"),
    (30, "validation"),
    (12, "validation"),
)


@pytest.fixture(scope="session")
def make_store() -> MakeStore:
    """`make_store(path, trajectories=[(num_frames, split), ...])` writes a store and returns its path."""
    return write_store


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed int8 store that tests share and must not change; 4 tokens of width 8, `TINY_TRAJECTORIES`."""
    return write_store(tmp_path_factory.mktemp("shared") / "tiny.zarr")


@pytest.fixture
def cuda_device() -> torch.device:
    """A GPU; without one the test is skipped, or fails where one was promised."""
    if not torch.cuda.is_available():
        if os.environ.get("PERMAFROST_EXPECT_GPU") == "1":
            pytest.fail("PERMAFROST_EXPECT_GPU=1 promises a CUDA device, and there is none")
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@dataclass(frozen=True)
class DrawnTrajectory:
    """What is drawn for one trajectory before anything is quantised."""

    states_FA: NDArray[np.float32]
    actions_FA: NDArray[np.float32]
    latents_FND: torch.Tensor


def write_store(
    path: Path,
    *,
    trajectories: Sequence[tuple[int, Split]] = TINY_TRAJECTORIES,
    num_tokens: int = 4,
    width: int = 8,
    quantisation: Quantisation = Quantisation.INT8,
    seed: int = 0,
    sealed: bool = True,
    action_std: Sequence[float] = (0.1,) * STATE_SIZE,
) -> Path:
    """Write a store of drawn trajectories.

    A latent is layer_norm(scene of the trajectory + fixed map x state), so the change from one frame to the
    next follows from the action and can be learnt. `sealed=False` leaves the ledger's rows as files.
    """
    rng = np.random.default_rng(seed)
    table = _plan([num_frames for num_frames, _ in trajectories], [split for _, split in trajectories])
    latents_of_state = torch.from_numpy(rng.normal(size=(num_tokens, width, STATE_SIZE))).float()
    drawn = [_draw(rng, t.num_frames, latents_of_state, action_std) for t in table]
    of_training = [d.latents_FND for d, t in zip(drawn, table, strict=True) if t.split == "train"]
    statistics = ChannelStatistics.of(torch.cat(of_training)) if quantisation is Quantisation.INT8 else None
    fingerprint = _fingerprint(num_tokens, width, quantisation, statistics)
    attributes = _attributes(fingerprint, table, seed=seed)
    specs = array_specs(fingerprint.encoder.latent_shape, quantisation)
    create_group(path, specs, attributes.num_slots, attributes.model_dump(mode="json"))
    if statistics is not None:
        write_channel_statistics(path, specs, statistics)
    write_table(path / TRAJECTORIES_TABLE, table, TRAJECTORY_SCHEMA)
    write_table(path / REJECTS_TABLE, [], REJECT_SCHEMA)
    writer = SlotWriter(path=path, specs=specs, fingerprint_sha256=fingerprint.sha256())
    for trajectory, values in zip(table, drawn, strict=True):
        _write_slots(writer, trajectory, _frame_arrays(values, statistics))
    if sealed:
        seal(path, attributes, specs, training_statistics(Store.open(path)))
    return path


def _plan(lengths: Sequence[int], splits: Sequence[Split]) -> list[Trajectory]:
    table, first_slot = [], 0
    for index, (num_frames, split) in enumerate(zip(lengths, splits, strict=True)):
        crop = {"crop_top_px": 0, "crop_left_px": 0, "crop_height_px": 180, "crop_width_px": 320}
        trajectory = Trajectory(index=index, episode_id=f"episode-{index}", lab="LAB", success=True, task="",
                                camera="left", decoder="pyav", view=0, phase=0.0, first_slot=first_slot,
                                num_frames=num_frames, split=split, **crop)  # fmt: skip
        table.append(trajectory)
        first_slot += trajectory.num_slots
    return table


def _draw(
    rng: np.random.Generator, num_frames: int, latents_of_state: torch.Tensor, action_std: Sequence[float]
) -> DrawnTrajectory:
    actions_FA = np.full((num_frames, STATE_SIZE), np.nan, dtype=np.float32)
    states_FA = np.zeros((num_frames, STATE_SIZE), dtype=np.float32)
    states_FA[0] = rng.uniform(-0.3, 0.3, STATE_SIZE)
    states_FA[0, 6] = 0.5
    for frame in range(num_frames - 1):
        action_A = rng.normal(scale=action_std)
        states_FA[frame + 1] = _moved(states_FA[frame], action_A)
        actions_FA[frame] = action_A
        actions_FA[frame, 6] = states_FA[frame + 1, 6] - states_FA[frame, 6]
    scene_ND = torch.from_numpy(rng.normal(size=latents_of_state.shape[:2])).float()
    raw_FND = scene_ND + torch.einsum("nda,fa->fnd", latents_of_state, torch.from_numpy(states_FA))
    return DrawnTrajectory(states_FA, actions_FA, F.layer_norm(raw_FND, raw_FND.shape[-1:]))


def _moved(state_A: NDArray[np.float32], action_A: NDArray[np.float64]) -> NDArray[np.float64]:
    rotation = Rotation.from_euler("xyz", action_A[3:6]) * Rotation.from_euler("xyz", state_A[3:6])
    gripper = np.clip(state_A[6:] + action_A[6:], 0.0, 1.0)
    return np.concatenate([state_A[:3] + action_A[:3], rotation.as_euler("xyz"), gripper])


def _frame_arrays(drawn: DrawnTrajectory, statistics: ChannelStatistics | None) -> FrameArrays:
    num_frames = len(drawn.states_FA)
    frames: FrameArrays = {
        "states": drawn.states_FA,
        "actions": drawn.actions_FA,
        "timestamps_seconds": np.arange(num_frames) / 4.0,
        "extrinsics": np.full((num_frames, 6), np.nan, dtype=np.float32),
        "source_index": np.arange(0, 4 * num_frames, 4, dtype=np.int32),
        "thumbnails": _thumbnails(num_frames),
    }
    if statistics is None:
        return frames | {"latents": drawn.latents_FND.half().numpy()}
    codes_FND, scale_FN = quantise(drawn.latents_FND, statistics)
    return frames | {"latents": codes_FND.numpy(), "token_scale": scale_FN.numpy()}


def _thumbnails(num_frames: int) -> NDArray[np.uint8]:
    size = (THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX, 3)
    return np.stack([np.full(size, 1 + frame % 255, dtype=np.uint8) for frame in range(num_frames)])


def _write_slots(writer: SlotWriter, trajectory: Trajectory, frames: FrameArrays) -> None:
    for slot in trajectory.slots:
        part = trajectory.frames_of_slot(slot)
        of_slot = {name: entries[part.start : part.stop] for name, entries in frames.items()}
        writer.write(slot, trajectory.episode_id, of_slot)


def _fingerprint(
    num_tokens: int, width: int, quantisation: Quantisation, statistics: ChannelStatistics | None
) -> Fingerprint:
    grid_height = max(side for side in range(1, math.isqrt(num_tokens) + 1) if num_tokens % side == 0)
    encoder = EncoderIdentity(
        name="drawn",
        weights_sha256="0" * 64,
        image_size_px=64,
        grid_height=grid_height,
        grid_width=num_tokens // grid_height,
        width=width,
        compute_dtype="float32",
    )
    preprocessing = Preprocessing(
        crop="random", resize="bilinear", mean_rgb=(123.675, 116.28, 103.53), std_rgb=(58.395, 57.12, 57.375)
    )
    return Fingerprint(
        encoder=encoder,
        preprocessing=preprocessing,
        clock="physical",
        frame_rate_hz=4.0,
        quantisation=quantisation,
        channel_statistics_sha256=None if statistics is None else statistics.sha256(),
    )


def _attributes(fingerprint: Fingerprint, table: list[Trajectory], *, seed: int) -> StoreAttributes:
    plan = f"{fingerprint.sha256()} {seed} {[(t.num_frames, t.split) for t in table]}"
    return StoreAttributes(
        format_version=1,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, plan)),
        num_slots=sum(t.num_slots for t in table),
        num_trajectories=len(table),
        fingerprint=fingerprint,
        recipe={"seed": seed, "validation_share": 0.2},
        source=SourceRecord(name="drawn", attribution="Drawn for the tests.", licence="No rights reserved."),
        library_versions={"numpy": np.__version__},
        code_version="drawn",
    )
