"""Encode a few stored frames again from the source, and compare: is the store what its recipe says?

Legend: F frames, N tokens, D channels.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from featurize.encoders import encoder_as_planned
from featurize.errors import StepOrderError
from featurize.index_table import INDEX_TABLE
from featurize.planned import require_encoder
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected
from featurize.slot_job import SlotJob
from featurize.threads import repeatable_threads
from store_schema.format import SLOT_FRAMES
from store_schema.layout import FrameArrays, open_array
from store_schema.problem import Problem
from store_schema.quantisation import dequantise
from store_schema.store import Store

# Relative L1 of a frame. Quantisation takes up to 0.9 %, rounding in bfloat16 about 1 %, on either side.
LATENT_TOLERANCE: Final = 0.03
# Of 255: decoders and resizing round differently from one library to the next.
THUMBNAIL_TOLERANCE: Final = 2
Batch = tuple[int, range]
"""A slot, and frames of it that were encoded in one forward pass."""


def reencode_problems(
    build: Build, *, num_frames: int, seed: int, latent_tolerance: float = LATENT_TOLERANCE
) -> Iterator[Problem]:
    """What differs in `num_frames` frames, drawn by `seed` over those that are stored.

    A frame is encoded in the batch in which it was encoded, so that on the same machine its latent is the
    same and a tolerance of 0 holds. Raises StepOrderError where the store has lost the index of its source,
    SourceMovedError where the source is not there, FingerprintMismatchError for other weights, and what
    `load_encoder` raises.
    """
    store = Store.open(build.store)
    if not (build.folder / INDEX_TABLE).is_file():
        raise StepOrderError(
            f"{build.store.name} has no {build.folder.name}/{INDEX_TABLE}, which says where in the source "
            "each episode lies. Run `permafrost featurize --step index` with this --source and --store first."
        )
    encoder = encoder_as_planned(build, store)
    require_encoder(store, build, encoder)
    drawn = draw_frames(store, num_frames, seed, build.recipe.encode_batch_frames)
    job = SlotJob(build, encoder, store, sorted({slot for slot, _ in drawn}))
    with repeatable_threads(encoder.device), job.loader:
        for (slot, batch), frames in drawn.items():
            made = _encode(job, slot, batch)
            if isinstance(made, EpisodeRejected):
                yield _problem(slot, "all arrays", f"The source no longer serves it: {made}")
            else:
                yield from _compare(store, slot, batch, frames, made, latent_tolerance)


def draw_frames(store: Store, num_frames: int, seed: int, batch_frames: int) -> dict[Batch, list[int]]:
    """Distinct frames of finished trajectories, as places in their slots, by the batches they lie in."""
    slots = [slot for trajectory in store.trajectories for slot in trajectory.slots]
    lengths = np.array([store.ledger.written_frames[slot] for slot in slots], dtype=np.int64)
    total, ends = int(lengths.sum()), np.cumsum(lengths)
    chosen = np.random.default_rng(seed).choice(total, size=min(num_frames, total), replace=False)
    drawn: dict[Batch, list[int]] = defaultdict(list)
    for place in np.sort(chosen).tolist():
        at = int(np.searchsorted(ends, place, side="right"))
        frame = place - int(ends[at] - lengths[at])
        start = frame - frame % batch_frames
        batch = range(start, min(start + batch_frames, int(lengths[at])))
        drawn[slots[at], batch].append(frame)
    return drawn


def _encode(job: SlotJob, slot: int, batch: range) -> FrameArrays | EpisodeRejected:
    trajectory = job.trajectory_of[slot]
    steps = np.asarray(trajectory.frames_of_slot(slot)[batch.start : batch.stop], dtype=np.int64)
    try:
        return job.quantise(job.encode((slot, job.loader.load(trajectory, steps))))[1]
    except EpisodeRejected as rejected:
        return rejected


def _compare(
    store: Store, slot: int, batch: range, frames: Sequence[int], made: FrameArrays, latent_tolerance: float
) -> Iterator[Problem]:
    chosen = np.asarray(frames)
    theirs = {name: entries[chosen - batch.start] for name, entries in made.items()}
    ours = {
        name: np.asarray(open_array(store.path, name).oindex[slot * SLOT_FRAMES + chosen]) for name in theirs
    }
    for name in theirs.keys() - {"latents", "token_scale", "thumbnails"}:
        if not np.array_equal(ours[name], theirs[name], equal_nan=ours[name].dtype.kind == "f"):
            yield _problem(slot, name, f"Frames among {list(frames)} have other values in the source.")
    differs = np.abs(ours["thumbnails"].astype(int) - theirs["thumbnails"]).max()
    if differs > THUMBNAIL_TOLERANCE:
        yield _problem(
            slot, "thumbnails", f"Pictures of frames {list(frames)} differ by up to {differs} of 255."
        )
    error_F = _relative_l1(_latents(store, ours), _latents(store, theirs))
    for frame, error in zip(frames, error_F, strict=True):
        if not error <= latent_tolerance:
            yield _problem(
                slot,
                "latents",
                f"Frame {frame} differs from its new encoding by {error:.3%} (relative L1); "
                f"other hardware explains {latent_tolerance:.1%}. Weights, source or store have changed.",
            )


def _latents(store: Store, entries: FrameArrays) -> NDArray[np.float32]:
    """Float32 (F, N, D)."""
    if store.channel_statistics is None:
        return entries["latents"].astype(np.float32)
    codes, scale = (torch.from_numpy(entries[name]) for name in ("latents", "token_scale"))
    return dequantise(codes, scale, store.channel_statistics).numpy()


def _relative_l1(ours_FND: NDArray[Any], theirs_FND: NDArray[Any]) -> NDArray[np.float64]:
    difference_F = np.abs(ours_FND - theirs_FND).mean(axis=(1, 2), dtype=np.float64)
    size_F = np.abs(theirs_FND).mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(difference_F / np.maximum(size_F, np.finfo(np.float32).tiny))


def _problem(slot: int, array: str, detail: str) -> Problem:
    return Problem(kind="differs_from_source", where=f"slot {slot}, array {array}", detail=detail, slot=slot)
