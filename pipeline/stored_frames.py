"""Frames of a store to look at: drawn evenly from a few trajectories, and checked as they are read.

Legend: F frames drawn, H and W rows and columns, N tokens per frame, D encoder width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import NothingStoredError, OptionError
from store_schema.ledger_row import HASHED_ARRAYS
from store_schema.quantisation import dequantise
from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory

MAX_FRAMES: Final = 16
MAX_TRAJECTORIES: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredFrames:
    """Some frames of one trajectory.

    offsets: of each frame within the trajectory. thumbnails_FHWC: uint8 (F, 64, 64, 3) RGB.
    latents_FND: float32, dequantised.
    """

    trajectory: Trajectory
    offsets: tuple[int, ...]
    thumbnails_FHWC: NDArray[np.uint8]
    latents_FND: NDArray[np.float32]


def draw_stored_frames(
    store: Store, num_frames: int, *, trajectory: int | None, seed: int
) -> tuple[StoredFrames, ...]:
    """`num_frames` frames, or all there are, of `trajectory` or of up to 4 that the seed chooses.

    Frames are spread evenly over the finished slots of their trajectory, first and last included, so this
    works on an unfinished store too. Raises OptionError, NothingStoredError where no such slot is finished,
    and what ClipReader raises where one is damaged.
    """
    if not 1 <= num_frames <= MAX_FRAMES:
        raise OptionError(f"--frames is 1 to {MAX_FRAMES}, the pictures in a line; got {num_frames}.")
    reader = ClipReader.open(store)
    return tuple(_read(reader, chosen, num_frames) for chosen in _choose(store, trajectory, seed))


def _choose(store: Store, index: int | None, seed: int) -> Sequence[Trajectory]:
    if index is not None:
        return [_require_stored(store, index)]
    written = store.ledger.written_frames
    stored = [t for t in store.planned_trajectories if any(slot in written for slot in t.slots)]
    if not stored:
        raise NothingStoredError(
            f"Store {store.path.name} has no finished slot yet, so there is no frame to draw. "
            "Run `permafrost featurize` first, or leave out --frames."
        )
    num_chosen = min(len(stored), MAX_TRAJECTORIES)
    chosen = np.random.default_rng(seed).choice(len(stored), num_chosen, replace=False)
    return [stored[place] for place in sorted(chosen)]


def _require_stored(store: Store, index: int) -> Trajectory:
    if not 0 <= index < len(store.planned_trajectories):
        raise OptionError(
            f"--trajectory {index}: the store has trajectories 0 to {len(store.planned_trajectories) - 1}."
        )
    trajectory = store.planned_trajectories[index]
    if not _stored_offsets(store, trajectory):
        raise NothingStoredError(
            f"Trajectory {index} (episode {trajectory.episode_id}) has no written slot: it was rejected, "
            "or its turn has not come. Choose another --trajectory."
        )
    return trajectory


def _stored_offsets(store: Store, trajectory: Trajectory) -> list[int]:
    written = store.ledger.written_frames
    return [
        offset for slot in trajectory.slots if slot in written for offset in trajectory.frames_of_slot(slot)
    ]


def _read(reader: ClipReader, trajectory: Trajectory, num_frames: int) -> StoredFrames:
    stored = _stored_offsets(reader.store, trajectory)
    places = np.linspace(0, len(stored) - 1, min(num_frames, len(stored))).round().astype(int)
    offsets = tuple(stored[place] for place in places)
    addresses = [trajectory.first_frame + offset for offset in offsets]
    return StoredFrames(
        trajectory=trajectory,
        offsets=offsets,
        thumbnails_FHWC=np.concatenate([reader.thumbnails(address, 1) for address in addresses]),
        latents_FND=np.concatenate([_read_latent(reader, address) for address in addresses]),
    )


def _read_latent(reader: ClipReader, address: int) -> NDArray[np.float32]:
    """Latents (1, N, D). The other hashed arrays are read beside them, because the hash covers all."""
    specs = reader.store.specs
    hashed = [specs[name] for name in HASHED_ARRAYS if name in specs]
    entries = {spec.name: np.empty((1, *spec.item_shape), spec.dtype) for spec in hashed}
    reader.read_arrays(address, entries)
    statistics = reader.store.channel_statistics
    if statistics is None:
        return entries["latents"].astype(np.float32)
    codes_1ND, scale_1N = (torch.from_numpy(entries[name]) for name in ("latents", "token_scale"))
    return dequantise(codes_1ND, scale_1N, statistics).numpy()
