"""From one planned slot to the bytes of its files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from featurize.encoder.registry import FrozenEncoder
from featurize.frames import TrajectoryFrames, TrajectoryLoader
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected, RejectReason
from store_schema.errors import UnencodableLatentsError
from store_schema.layout import FrameArrays
from store_schema.ledger_row import LedgerRow
from store_schema.quantisation import as_float16, quantise
from store_schema.rules.plan import owners_of_slots
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store

Outcome = TrajectoryFrames | EpisodeRejected


@dataclass(frozen=True, kw_only=True, eq=False)
class SlotLatents:
    """What the encoder gives of a slot, batch after batch (F, N, D); on a GPU perhaps not computed yet."""

    batches: list[Tensor]
    rows: FrameArrays


class SlotJob:
    """The stages of a slot. Each takes and hands on values; only `write` touches the store.

    `loader` is open for as long as slots are decoded, by at most `num_decoders` threads at once.
    """

    def __init__(
        self,
        build: Build,
        encoder: FrozenEncoder,
        store: Store,
        slots: Sequence[int],
        num_decoders: int = 1,
    ) -> None:
        self.encoder = encoder
        self.batch_frames = build.recipe.encode_batch_frames
        statistics = store.channel_statistics
        self.statistics = None if statistics is None else statistics.to(encoder.device)
        owners = owners_of_slots(store.planned_trajectories)
        self.trajectory_of = {slot: owners[slot] for slot in slots}
        self.loader = TrajectoryLoader(build, list(self.trajectory_of.values()), num_decoders)
        self.writer = SlotWriter(
            path=store.path, specs=store.specs, fingerprint_sha256=store.attributes.fingerprint.sha256()
        )

    def decode(self, slot: int) -> tuple[int, Outcome]:
        """Pixels, on the encoder's device, and rows of a slot, or why its episode cannot be used."""
        trajectory = self.trajectory_of[slot]
        try:
            frames = self.loader.load(trajectory, np.asarray(trajectory.frames_of_slot(slot)))
        except EpisodeRejected as rejected:
            return slot, rejected
        return slot, replace(frames, pixels_FCHW=self.encoder.upload(frames.pixels_FCHW))

    def encode(self, decoded: tuple[int, Outcome]) -> tuple[int, SlotLatents | EpisodeRejected]:
        """The latents of a slot. Nothing here waits for a GPU: it gets the next slot before it is done."""
        slot, frames = decoded
        if isinstance(frames, EpisodeRejected):
            return slot, frames
        batches = [self.encoder.encode(batch) for batch in frames.pixels_FCHW.split(self.batch_frames)]
        return slot, SlotLatents(batches=batches, rows=frames.rows)

    def quantise(
        self, encoded: tuple[int, SlotLatents | EpisodeRejected]
    ) -> tuple[int, FrameArrays | EpisodeRejected]:
        """The slot with all that is to be stored for it, in host memory, or why it cannot be."""
        slot, latents = encoded
        if isinstance(latents, EpisodeRejected):
            return slot, latents
        try:
            with self.encoder.beside():
                batches = [self._stored(batch_FND) for batch_FND in latents.batches]
        except UnencodableLatentsError as error:
            episode_id = self.trajectory_of[slot].episode_id
            return slot, EpisodeRejected(episode_id, "encode", RejectReason.LATENTS_NOT_FINITE, str(error))
        names = batches[0].keys()
        return slot, {n: np.concatenate([batch[n] for batch in batches]) for n in names} | latents.rows

    def write(self, stored: tuple[int, FrameArrays | EpisodeRejected]) -> LedgerRow:
        """Settle the slot; its ledger row is on disk when this returns."""
        slot, frames = stored
        episode_id = self.trajectory_of[slot].episode_id
        if isinstance(frames, EpisodeRejected):
            return self.writer.reject(slot, episode_id, frames.reason, frames.detail)
        return self.writer.write(slot, episode_id, frames)

    def _stored(self, latents_FND: Tensor) -> FrameArrays:
        if self.statistics is None:
            return {"latents": as_float16(latents_FND).cpu().numpy()}
        codes_FND, scale_FN = quantise(latents_FND, self.statistics)
        return {"latents": codes_FND.cpu().numpy(), "token_scale": scale_FN.cpu().numpy()}
