"""Step `encode`: decode, crop, encode, quantise and write slots; any of them, anywhere, in any order.

While the accelerator encodes one slot, a thread decodes the next ones and another writes the last one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from torch import Tensor

from featurize.encoder.registry import FrozenEncoder
from featurize.errors import UnknownSlotsError
from featurize.frames import TrajectoryFrames, TrajectoryLoader
from featurize.planned import open_calibrated, require_encoder
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected, RejectReason
from featurize.threads import repeatable_threads
from store_schema.errors import UnencodableLatentsError
from store_schema.layout import FrameArrays
from store_schema.ledger import LedgerRow, settled_slots
from store_schema.quantisation import as_float16, quantise
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store

STAGE_AHEAD: Final = 2


def encode(build: Build, encoder: FrozenEncoder, slots: Sequence[int] | None = None) -> int:
    """Encode those of `slots` (default: all) that the ledger lacks; returns how many that were.

    Raises what `pending_slots` and `encode_slots` raise.
    """
    return sum(1 for _ in encode_slots(build, encoder, pending_slots(build, slots)))


def pending_slots(build: Build, slots: Sequence[int] | None = None) -> list[int]:
    """Of the slots asked for (default: all), those that are not in the ledger.

    Raises UnknownSlotsError, and what `open_calibrated` raises.
    """
    num_slots = open_calibrated(build).attributes.num_slots
    asked = range(num_slots) if slots is None else slots
    foreign = [slot for slot in asked if not 0 <= slot < num_slots]
    if foreign:
        raise UnknownSlotsError(f"Slots {foreign} do not exist; the plan has slots 0 to {num_slots - 1}.")
    settled = settled_slots(build.store)
    return sorted(slot for slot in set(asked) if slot not in settled)


def encode_slots(build: Build, encoder: FrozenEncoder, slots: Sequence[int]) -> Iterator[LedgerRow]:
    """Encode slots and yield the ledger row of each once it is safely on disk, in the order given.

    An episode that cannot be decoded, or whose latents are not finite, is settled as rejected. Raises
    FingerprintMismatchError where the encoder is not the one the store was planned for.
    """
    store = open_calibrated(build)
    require_encoder(store, build, encoder)
    job = _EncodeJob(build, encoder, store, slots)
    with (
        repeatable_threads(encoder.device),
        ThreadPoolExecutor(1) as decoder,
        ThreadPoolExecutor(1) as writer,
    ):
        decoded = _ahead(decoder, job.decode, slots)
        encoded = map(job.encode, slots, decoded)
        yield from _ahead(writer, job.write, encoded)


Outcome = TrajectoryFrames | EpisodeRejected


class _EncodeJob:
    """The three stages of a slot. Each takes and hands on values; only `write` touches the store."""

    def __init__(self, build: Build, encoder: FrozenEncoder, store: Store, slots: Sequence[int]) -> None:
        self.encoder = encoder
        self.batch_frames = build.recipe.encode_batch_frames
        statistics = store.channel_statistics
        self.statistics = None if statistics is None else statistics.to(encoder.device)
        owners = {slot: t for t in store.planned_trajectories for slot in t.slots}
        self.trajectory_of = {slot: owners[slot] for slot in slots}
        self.loader = TrajectoryLoader(build, list(self.trajectory_of.values()))
        self.writer = SlotWriter(
            path=store.path, specs=store.specs, fingerprint_sha256=store.attributes.fingerprint.sha256()
        )

    def decode(self, slot: int) -> Outcome:
        trajectory = self.trajectory_of[slot]
        try:
            return self.loader.load(trajectory, np.asarray(trajectory.frames_of_slot(slot)))
        except EpisodeRejected as rejected:
            return rejected

    def encode(self, slot: int, decoded: Outcome) -> tuple[int, FrameArrays | EpisodeRejected]:
        if isinstance(decoded, EpisodeRejected):
            return slot, decoded
        try:
            return slot, self._latent_arrays(decoded.pixels_FCHW) | decoded.rows
        except UnencodableLatentsError as error:
            episode_id = self.trajectory_of[slot].episode_id
            return slot, EpisodeRejected(episode_id, "encode", RejectReason.LATENTS_NOT_FINITE, str(error))

    def write(self, encoded: tuple[int, FrameArrays | EpisodeRejected]) -> LedgerRow:
        slot, frames = encoded
        episode_id = self.trajectory_of[slot].episode_id
        if isinstance(frames, EpisodeRejected):
            return self.writer.reject(slot, episode_id, frames.reason, frames.detail)
        return self.writer.write(slot, episode_id, frames)

    def _latent_arrays(self, pixels_FCHW: Tensor) -> FrameArrays:
        batches = [self._encode_batch(batch) for batch in pixels_FCHW.split(self.batch_frames)]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    def _encode_batch(self, pixels_FCHW: Tensor) -> FrameArrays:
        latents_FND = self.encoder.encode(pixels_FCHW)
        if self.statistics is None:
            return {"latents": as_float16(latents_FND).cpu().numpy()}
        codes_FND, scale_FN = quantise(latents_FND, self.statistics)
        return {"latents": codes_FND.cpu().numpy(), "token_scale": scale_FN.cpu().numpy()}


Item = TypeVar("Item")
Result = TypeVar("Result")


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Results in order, with up to STAGE_AHEAD items in work before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > STAGE_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
