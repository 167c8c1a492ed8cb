"""A store of drawn numbers, as large as asked for and in all else like one that `featurize` made.

One block of latents is drawn; every slot holds it turned by another number of elements, so that writing is
what takes the time and no two slots are the same. Legend: F frames, N tokens per frame, D encoder width,
A action and state size (7).
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

import store_schema
from featurize.encoder.registry import EncoderSpec, encoder_spec
from pipeline.bench.synthetic_source import SYNTHETIC_SOURCE
from pipeline.errors import PipelineError
from store_schema.actions import actions_from_states
from store_schema.attributes import (
    EncoderIdentity,
    Fingerprint,
    Preprocessing,
    SourceRecord,
    StoreAttributes,
)
from store_schema.channel_arrays import write_channel_statistics
from store_schema.format import (
    EXTRINSICS_SIZE,
    REJECTS_TABLE,
    SLOT_FRAMES,
    STATE_SIZE,
    THUMBNAIL_SIZE_PX,
    TRAJECTORIES_TABLE,
    Quantisation,
)
from store_schema.identity import revision_uuid
from store_schema.layout import FrameArrays, create_group
from store_schema.locks import hold_store
from store_schema.provenance import code_version, library_versions
from store_schema.quantisation import ChannelStatistics, quantise
from store_schema.sealing import seal
from store_schema.slot_writer import SlotWriter
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Split, Trajectory, write_table

FRAME_RATE_HZ: Final = 4.0
SOURCE_RATE_HZ: Final = 15.0
# 5 to 35 s, 20 s in the mean, as DROID's episodes: most take one slot and some two.
NUM_FRAMES_RANGE: Final = (20, 140)
VALIDATION_EVERY: Final = 10
STEP_SCALE: Final = (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.05)
"""Standard deviation of a state's change from frame to frame: metres, radians, share of the gripper's way."""
Progress = Callable[[int, int], None]


class SyntheticStoreError(PipelineError):
    """A synthetic store cannot be written as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class SyntheticStore:
    """What to write. encoder: whose latents it looks like; size_bytes: of latents and scales, about."""

    path: Path
    size_bytes: int
    encoder: str
    seed: int = 0


def write_synthetic_store(asked: SyntheticStore, on_progress: Progress = lambda _done, _total: None) -> Path:
    """Write a sealed int8 store that `permafrost verify` accepts, and return its path.

    Its source is `SYNTHETIC_SOURCE`, and its recipe one that `featurize` does not continue. What was written
    is removed again where this fails. Raises SyntheticStoreError where something lies at the path or the disk
    is too small, and UnknownEncoderError.
    """
    spec = encoder_spec(asked.encoder)
    _require_free_path(asked.path)
    _require_room(asked)
    try:
        _write(asked, spec, on_progress)
    except BaseException:
        shutil.rmtree(asked.path, ignore_errors=True)
        raise
    return asked.path


def _write(asked: SyntheticStore, spec: EncoderSpec, on_progress: Progress) -> None:
    statistics = ChannelStatistics(mean_D=torch.zeros(spec.width), std_D=torch.ones(spec.width))
    fingerprint = _fingerprint(spec, statistics)
    specs = fingerprint.specs
    frame_bytes = sum(specs[name].item_bytes for name in ("latents", "token_scale"))
    rng = np.random.default_rng(asked.seed)
    plan = _plan(max(round(asked.size_bytes / frame_bytes), 2 * max(NUM_FRAMES_RANGE)), rng)
    attributes = _attributes(fingerprint, plan, asked)
    write_table(asked.path / TRAJECTORIES_TABLE, plan, TRAJECTORY_SCHEMA)
    write_table(asked.path / REJECTS_TABLE, [], REJECT_SCHEMA)
    create_group(asked.path, specs, attributes.num_slots, attributes.model_dump(mode="json"))
    with hold_store(asked.path):
        write_channel_statistics(asked.path, specs, statistics)
        writer = SlotWriter(path=asked.path, specs=specs, fingerprint_sha256=fingerprint.sha256())
        for trajectory, slot, frames in _slots(plan, _drawn_block(spec, statistics, asked.seed), rng):
            writer.write(slot, trajectory.episode_id, frames)
            on_progress(slot + 1, attributes.num_slots)
        seal(asked.path, attributes, specs, training_statistics(Store.open(asked.path)))


def _require_free_path(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise SyntheticStoreError(
            f"--synthetic writes a new store, and something lies at {path} already. Choose another path, or "
            "leave out --synthetic to measure that store."
        )


def _require_room(asked: SyntheticStore) -> None:
    """What lies beside latents and scales takes up to a fifth more where frames are small."""
    folder = next(parent for parent in asked.path.absolute().parents if parent.is_dir())
    needed_bytes, free_bytes = 1.2 * asked.size_bytes + 2**28, shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise SyntheticStoreError(
            f"A synthetic store of {asked.size_bytes / 2**30:.3g} GiB needs {needed_bytes / 2**30:.3g} GiB "
            f"free, and {folder} has {free_bytes / 2**30:.3g}. Make room, choose another disk, or a smaller "
            "--synthetic-gib; one that fits into memory makes the cold rows look better than they are."
        )


def _plan(num_frames: int, rng: np.random.Generator) -> list[Trajectory]:
    """Trajectories of drawn lengths, `num_frames` frames in all or a few more, every tenth held out."""
    plan: list[Trajectory] = []
    first_slot, left = 0, num_frames
    while left > 0 or len(plan) < 2:
        length = int(rng.integers(*NUM_FRAMES_RANGE, endpoint=True))
        plan.append(_trajectory(len(plan), first_slot, length, phase=float(rng.random())))
        first_slot, left = plan[-1].slots.stop, left - length
    return plan


def _trajectory(index: int, first_slot: int, num_frames: int, *, phase: float) -> Trajectory:
    split: Split = "validation" if index % VALIDATION_EVERY == 1 else "train"
    return Trajectory(
        index=index,
        episode_id=f"synthetic-{index:06d}",
        lab="synthetic",
        success=True,
        task="",
        camera="left",
        decoder="none",
        view=0,
        phase=phase,
        crop_top_px=0,
        crop_left_px=0,
        crop_height_px=256,
        crop_width_px=256,
        first_slot=first_slot,
        num_frames=num_frames,
        split=split,
    )


def _slots(
    plan: list[Trajectory], block: FrameArrays, rng: np.random.Generator
) -> Iterator[tuple[Trajectory, int, FrameArrays]]:
    for trajectory in plan:
        rows = _rows(trajectory, rng)
        for slot in trajectory.slots:
            part = trajectory.frames_of_slot(slot)
            latents = {name: _turned(values, slot)[: len(part)] for name, values in block.items()}
            yield trajectory, slot, latents | {name: rows[name][part.start : part.stop] for name in rows}


def _drawn_block(spec: EncoderSpec, statistics: ChannelStatistics, seed: int) -> FrameArrays:
    """Codes and scales of a slot of layer-normed latents."""
    generator = torch.Generator().manual_seed(seed)
    raw_FND = torch.randn(SLOT_FRAMES, spec.num_tokens, spec.width, generator=generator)
    latents_FND = torch.nn.functional.layer_norm(raw_FND, (spec.width,))
    codes_FND, scale_FN = quantise(latents_FND, statistics)
    return {"latents": codes_FND.numpy(), "token_scale": scale_FN.numpy()}


def _turned(values: NDArray[Any], slot: int) -> NDArray[Any]:
    """Turned by `slot` elements of the flattened block: another content in every slot, at a copy's cost."""
    return np.roll(values, slot)


def _rows(trajectory: Trajectory, rng: np.random.Generator) -> FrameArrays:
    """All other arrays of a trajectory: a random walk of the arm on the clock's grid."""
    num_frames = trajectory.num_frames
    states_FA = _walk(num_frames, rng)
    seconds_F = (trajectory.phase + np.arange(num_frames)) / FRAME_RATE_HZ
    thumbnail = (num_frames, THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX, 3)
    return {
        "states": states_FA.astype(np.float32),
        "actions": actions_from_states(states_FA),
        "timestamps_seconds": seconds_F,
        "extrinsics": np.full((num_frames, EXTRINSICS_SIZE), np.nan, dtype=np.float32),
        "source_index": (seconds_F * SOURCE_RATE_HZ).astype(np.int32),
        "thumbnails": np.full(thumbnail, 1 + trajectory.index % 255, dtype=np.uint8),
    }


def _walk(num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """States float64 (F, 7) within 0.5 m, 1 radian and the gripper's way of their centre."""
    centre_A, reach_A = np.array([0.5, 0, 0.3, 0, 0, 0, 0.5]), np.full(STATE_SIZE, 0.5)
    reach_A[3:6] = 1.0
    walked_FA = rng.normal(scale=STEP_SCALE, size=(num_frames, STATE_SIZE)).cumsum(axis=0)
    # A triangle wave of the walk: at the edge it turns back.
    turned_FA = (2 / np.pi) * np.arcsin(np.sin(np.pi / 2 * walked_FA / reach_A))
    return np.asarray(centre_A + reach_A * turned_FA, dtype=np.float64)


def _fingerprint(spec: EncoderSpec, statistics: ChannelStatistics) -> Fingerprint:
    identity = EncoderIdentity(
        name=spec.name,
        weights_sha256="none: latents were drawn, not encoded",
        image_size_px=spec.image_size_px,
        grid_height=spec.grid_height,
        grid_width=spec.grid_width,
        width=spec.width,
        compute_dtype="float32",
    )
    return Fingerprint(
        encoder=identity,
        preprocessing=Preprocessing(crop="none", resize="none", mean_rgb=spec.mean_rgb, std_rgb=spec.std_rgb),
        clock="physical",
        frame_rate_hz=FRAME_RATE_HZ,
        quantisation=Quantisation.INT8,
        channel_statistics_sha256=statistics.sha256(),
    )


def _attributes(fingerprint: Fingerprint, plan: list[Trajectory], asked: SyntheticStore) -> StoreAttributes:
    return StoreAttributes(
        format_version=1,
        uuid=revision_uuid(fingerprint, plan),
        num_slots=plan[-1].slots.stop,
        num_trajectories=len(plan),
        fingerprint=fingerprint,
        recipe={"source": SYNTHETIC_SOURCE, "seed": asked.seed, "size_bytes": asked.size_bytes},
        source=SourceRecord(
            name=SYNTHETIC_SOURCE,
            attribution="Random numbers of `permafrost bench --synthetic`: nothing was recorded or encoded.",
        ),
        library_versions=library_versions(),
        code_version=code_version(store_schema),
    )
