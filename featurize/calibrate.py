"""Step `calibrate`: fix the channel statistics of an int8 store before any slot is written."""

import logging
from typing import Final

import numpy as np
import torch
from torch import Tensor

from featurize.encoder.registry import FrozenEncoder
from featurize.errors import NotEnoughEpisodesError
from featurize.frames import TrajectoryLoader
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected
from featurize.threads import repeatable_threads
from store_schema.atomic import write_atomically
from store_schema.attributes import StoreAttributes
from store_schema.format import Quantisation
from store_schema.layout import encode_whole, read_attributes, write_attributes
from store_schema.quantisation import ChannelStatistics
from store_schema.store import Store

CALIBRATION_FRAMES: Final = 1024
CALIBRATION_TRAJECTORIES: Final = 128
logger = logging.getLogger(__name__)


def calibrate(build: Build, encoder: FrozenEncoder) -> ChannelStatistics | None:
    """Measure and store the channel statistics; None for a float16 store, the stored ones if they are there.

    At least 1,000 frames of up to 128 training trajectories (fewer if there are fewer), chosen by the seed.
    An episode that cannot be decoded is left out here and rejected by `encode`.
    """
    attributes = StoreAttributes.parse(read_attributes(build.store))
    if attributes.fingerprint.quantisation is Quantisation.FLOAT16:
        return None
    if attributes.fingerprint.channel_statistics_sha256 is not None:
        return Store.open(build.store).channel_statistics
    with repeatable_threads(encoder.device):
        statistics = ChannelStatistics.of(_sample_latents(build, encoder))
    _write(build, attributes, statistics)
    return statistics


def _sample_latents(build: Build, encoder: FrozenEncoder) -> Tensor:
    trajectories = [t for t in Store.open(build.store).planned_trajectories if t.split == "train"]
    rng = np.random.default_rng([build.recipe.seed, CALIBRATION_FRAMES])
    chosen = rng.permutation(len(trajectories))[:CALIBRATION_TRAJECTORIES]
    frames_each = -(-CALIBRATION_FRAMES // len(chosen))
    loader = TrajectoryLoader(build)
    sampled: list[Tensor] = []
    for trajectory in (trajectories[i] for i in sorted(chosen)):
        count = min(frames_each, trajectory.num_frames)
        steps = np.sort(rng.choice(trajectory.num_frames, size=count, replace=False))
        try:
            frames = loader.load(trajectory, steps)
        except EpisodeRejected as rejected:
            logger.warning("Left out of the calibration: %s", rejected)
            continue
        sampled.append(encoder.encode(frames.pixels_FCHW).cpu())
    if not sampled:
        raise NotEnoughEpisodesError("No training trajectory could be decoded; see the warnings above.")
    return torch.cat(sampled)


def _write(build: Build, attributes: StoreAttributes, statistics: ChannelStatistics) -> None:
    """The arrays first, then the attribute that makes them count."""
    specs = Store.open(build.store).specs
    for name, values_D in (("channel_mean", statistics.mean_D), ("channel_std", statistics.std_D)):
        relative, data = encode_whole(specs[name], values_D.numpy())
        write_atomically(build.store / relative, data)
    fingerprint = attributes.fingerprint.model_copy(update={"channel_statistics_sha256": statistics.sha256()})
    write_attributes(build.store, attributes.model_copy(update={"fingerprint": fingerprint}).model_dump(mode="json"))
