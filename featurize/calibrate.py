"""Step `calibrate`: fix the channel statistics of an int8 store before any slot is written."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from featurize.encoder.registry import FrozenEncoder
from featurize.errors import NotEnoughEpisodesError, StepOrderError
from featurize.frames import TrajectoryLoader
from featurize.holding import holding_store
from featurize.planned import open_planned, require_encoder
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected
from featurize.threads import repeatable_threads
from store_schema.channel_arrays import write_channel_statistics
from store_schema.format import Quantisation
from store_schema.layout import write_attributes
from store_schema.quantisation import ChannelStatistics
from store_schema.store import Store
from store_schema.tables import Trajectory

CALIBRATION_FRAMES: Final = 1024
CALIBRATION_TRAJECTORIES: Final = 128
logger = logging.getLogger(__name__)


@holding_store
def calibrate(build: Build, encoder: FrozenEncoder) -> ChannelStatistics | None:
    """Measure and store the channel statistics; None for a float16 store, the stored ones if they are there.

    1,024 frames of up to 128 training trajectories (fewer if there are fewer), chosen by the seed. An episode
    that cannot be decoded is left out here and rejected by `encode`. With `build.statistics_from` those of
    that store are taken over, so that the two can be merged. Raises StepOrderError before `plan`, and
    FingerprintMismatchError where the encoder is not the one the store was planned for, or the other store
    or its statistics do not fit this one.
    """
    store = open_planned(build)
    require_encoder(store, build, encoder)
    if store.quantisation is Quantisation.FLOAT16:
        return None
    other = None if build.statistics_from is None else _lender(build.statistics_from, store)
    if store.attributes.fingerprint.channel_statistics_sha256 is not None:
        if other is not None:
            other.attributes.fingerprint.require_same(store.attributes.fingerprint)
        return store.channel_statistics
    statistics = _measured(build, encoder, store) if other is None else other.channel_statistics
    assert statistics is not None
    _write(store, statistics)
    return statistics


def _lender(path: Path, store: Store) -> Store:
    """The store whose statistics are asked for; it must be one that this store could be merged with."""
    other = Store.open(path)
    store.attributes.fingerprint.require_same(other.attributes.fingerprint, ignore_statistics=True)
    if other.attributes.fingerprint.channel_statistics_sha256 is None:
        raise StepOrderError(
            f"Store {path.name} has no channel statistics to take over; run its step calibrate first."
        )
    return other


def _measured(build: Build, encoder: FrozenEncoder, store: Store) -> ChannelStatistics:
    training = [t for t in store.planned_trajectories if t.split == "train"]
    with repeatable_threads(encoder.device):
        latents = _sample_latents(build, encoder, training)
        first = next(latents, None)
        if first is None:
            raise NotEnoughEpisodesError(
                "No training trajectory could be decoded: the warnings above say why. Mend the source."
            )
        return ChannelStatistics.over(chain([first], latents))


def _sample_latents(build: Build, encoder: FrozenEncoder, training: Sequence[Trajectory]) -> Iterator[Tensor]:
    """Latents (F, N, D) of drawn frames, batch after batch.

    As many of each trajectory; the shortest come first, so that the longer ones make up for what they lack.
    """
    rng = np.random.default_rng([build.recipe.seed, CALIBRATION_FRAMES])
    chosen = [training[i] for i in rng.permutation(len(training))[:CALIBRATION_TRAJECTORIES]]
    num_missing = CALIBRATION_FRAMES
    by_length = sorted(chosen, key=lambda trajectory: (trajectory.num_frames, trajectory.index))
    with TrajectoryLoader(build, chosen) as loader:
        for num_left, trajectory in zip(range(len(chosen), 0, -1), by_length, strict=True):
            count = min(-(-num_missing // num_left), trajectory.num_frames)
            steps = np.sort(rng.choice(trajectory.num_frames, size=count, replace=False))
            try:
                pixels_FCHW = loader.load(trajectory, steps).pixels_FCHW
            except EpisodeRejected as rejected:
                logger.warning("Left out of the calibration: %s", rejected)
                continue
            num_missing -= count
            for batch_FCHW in torch.split(pixels_FCHW, build.recipe.encode_batch_frames):
                yield encoder.encode(batch_FCHW)


def _write(store: Store, statistics: ChannelStatistics) -> None:
    """The arrays first, then the attribute that makes them count."""
    write_channel_statistics(store.path, store.specs, statistics)
    update = {"channel_statistics_sha256": statistics.sha256()}
    fingerprint = store.attributes.fingerprint.model_copy(update=update)
    attributes = store.attributes.model_copy(update={"fingerprint": fingerprint})
    write_attributes(store.path, attributes.model_dump(mode="json"))
