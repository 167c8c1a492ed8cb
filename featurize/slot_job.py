"""From one planned slot to the bytes of its files."""

from collections.abc import Sequence

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


class SlotJob:
    """The three stages of a slot. Each takes and hands on values; only `write` touches the store.

    `loader` is open for as long as slots are decoded.
    """

    def __init__(self, build: Build, encoder: FrozenEncoder, store: Store, slots: Sequence[int]) -> None:
        self.encoder = encoder
        self.batch_frames = build.recipe.encode_batch_frames
        statistics = store.channel_statistics
        self.statistics = None if statistics is None else statistics.to(encoder.device)
        owners = owners_of_slots(store.planned_trajectories)
        self.trajectory_of = {slot: owners[slot] for slot in slots}
        self.loader = TrajectoryLoader(build, list(self.trajectory_of.values()))
        self.writer = SlotWriter(
            path=store.path, specs=store.specs, fingerprint_sha256=store.attributes.fingerprint.sha256()
        )

    def decode(self, slot: int) -> Outcome:
        """Pixels and rows of a slot, or why its episode cannot be used."""
        trajectory = self.trajectory_of[slot]
        try:
            return self.loader.load(trajectory, np.asarray(trajectory.frames_of_slot(slot)))
        except EpisodeRejected as rejected:
            return rejected

    def encode(self, slot: int, decoded: Outcome) -> tuple[int, FrameArrays | EpisodeRejected]:
        """The slot with all that is to be stored for it, or why it cannot be."""
        if isinstance(decoded, EpisodeRejected):
            return slot, decoded
        try:
            return slot, self._latent_arrays(decoded.pixels_FCHW) | decoded.rows
        except UnencodableLatentsError as error:
            episode_id = self.trajectory_of[slot].episode_id
            return slot, EpisodeRejected(episode_id, "encode", RejectReason.LATENTS_NOT_FINITE, str(error))

    def write(self, encoded: tuple[int, FrameArrays | EpisodeRejected]) -> LedgerRow:
        """Settle the slot; its ledger row is on disk when this returns."""
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
