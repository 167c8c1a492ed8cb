"""Statistics of the training split, computed with dask over the store's own chunks.

Legend: F frames, A state size, N tokens, D channels.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final

import dask
import dask.array as da
import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.attributes import DimensionStatistics, TrainingStatistics
from store_schema.errors import DamagedStoreError, SchemaError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_group
from store_schema.ledger_row import HASHED_ARRAYS
from store_schema.quantisation import dequantise
from store_schema.reader import ClipReader
from store_schema.remote_files import problems_of_file
from store_schema.store import Store
from store_schema.tables import Trajectory

MAX_LATENT_SLOTS: Final = 256


def training_statistics(store: Store) -> TrainingStatistics:
    """Mean and deviation of states and actions, and how much latents change from frame to frame.

    States and actions are counted over every frame of the training split, latents over up to 256 of its
    slots, evenly spread. The held-out part never enters. Raises DamagedStoreError.
    """
    trajectories = store.split("train")
    if not trajectories:
        raise SchemaError("No trajectory of the training split is finished; there is nothing to train on.")
    is_training_F = _frame_mask(trajectories, store.attributes.num_slots * SLOT_FRAMES)
    slots = [slot for trajectory in trajectories for slot in trajectory.slots]
    _require_as_recorded(store, slots)
    chosen = [slots[i] for i in np.unique(np.linspace(0, len(slots) - 1, MAX_LATENT_SLOTS).astype(int))]
    # Not traversed: dask would walk through the whole store once for each slot.
    reader = dask.delayed(ClipReader.open(store), traverse=False)
    changes = [dask.delayed(_latent_change_l1)(reader, slot) for slot in chosen]
    group = open_group(store.path)
    moments = (_moments(da.from_zarr(group[name]), is_training_F) for name in ("states", "actions"))
    states, actions, *by_slot = dask.compute(*moments, *changes, scheduler="threads")
    sums, counts = np.asarray(by_slot).sum(axis=0)
    return TrainingStatistics(
        num_frames=int(is_training_F.sum()),
        states=_dimensions(states),
        actions=_dimensions(actions),
        latent_slots=len(chosen),
        latent_change_l1=float(sums / max(counts, 1)),
    )


def dimension_statistics(
    values_FA: NDArray[np.float32], trajectories: Sequence[Trajectory]
) -> DimensionStatistics:
    """Of states or actions of `trajectories` in memory, which lie there at their addresses in a store.

    The same bits as `training_statistics` gives once they are stored.
    """
    chunks_FA = da.from_array(values_FA, chunks=(SLOT_FRAMES, -1))
    moments = _moments(chunks_FA, _frame_mask(trajectories, len(values_FA)))
    return _dimensions(moments.compute(scheduler="threads"))


def _require_as_recorded(store: Store, slots: Sequence[int]) -> None:
    """Raise DamagedStoreError for a lost or changed file of states or actions: dask would read it as NaN."""
    for slot, name in product(slots, ("states", "actions")):
        for problem in problems_of_file(store.path, store.specs[name], store.ledger.read(slot)):
            raise DamagedStoreError(
                f"{problem.where}: {problem.detail}. Run `permafrost featurize --repair` first."
            )


def _frame_mask(trajectories: Sequence[Trajectory], num_frames: int) -> NDArray[np.bool_]:
    mask_F = np.zeros(num_frames, dtype=bool)
    for trajectory in trajectories:
        mask_F[trajectory.first_frame : trajectory.first_frame + trajectory.num_frames] = True
    return mask_F


def _moments(values_FA: Any, is_training_F: NDArray[np.bool_]) -> Any:
    """Lazy (mean, deviation) per dimension; the NaN action at the end of a trajectory is left out."""
    mask_F = da.from_array(is_training_F, chunks=SLOT_FRAMES)
    training_FA = da.where(mask_F[:, None], values_FA.astype(np.float64), np.nan)
    return da.stack([da.nanmean(training_FA, axis=0), da.nanstd(training_FA, axis=0)])


def _latent_change_l1(reader: ClipReader, slot: int) -> tuple[float, int]:
    """Sum over frames of mean |z(t+1) - z(t)| within one slot, and the number of such pairs."""
    store = reader.store
    num_frames = store.ledger[slot].num_frames
    entries = {
        name: np.empty((num_frames, *spec.item_shape), dtype=spec.dtype)
        for name, spec in store.specs.items()
        if name in HASHED_ARRAYS
    }
    reader.read_arrays(slot * SLOT_FRAMES, entries)
    latents_FND = _latents(store, entries)
    return float(np.abs(np.diff(latents_FND, axis=0)).mean(axis=(1, 2)).sum()), num_frames - 1


def _latents(store: Store, entries: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    if store.channel_statistics is None:
        return entries["latents"].astype(np.float32)
    codes, scale = (torch.from_numpy(entries[name]) for name in ("latents", "token_scale"))
    return dequantise(codes, scale, store.channel_statistics).numpy()


def _dimensions(moments_2A: NDArray[np.float64]) -> DimensionStatistics:
    mean, std = moments_2A
    return DimensionStatistics(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
