"""How fast this machine does each stage of a build, measured for some seconds each on the real path.

The rates are those of one worker. Shape suffixes: F frames, C colours, S image size.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch

from featurize.disk_rates import DiskRates, measure_disk
from featurize.encoder.compiled import passes
from featurize.encoder.frozen import FrozenEncoder
from featurize.encoder.load import build_vjepa2, default_dtype, fold_patches
from featurize.encoder.random_init import random_weights
from featurize.encoder.registry import encoder_spec
from featurize.encoder.spec import EncoderSpec, TimmSpec, Vjepa2Spec
from featurize.encoder.timm_vit import TimmPatchTokens, build_timm
from featurize.encoder.vit import Vjepa2Vit
from featurize.errors import NotEnoughEpisodesError
from featurize.frames import TrajectoryLoader
from featurize.index import open_source
from featurize.index_table import IndexedStream, write_index
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected, rejecting
from featurize.sources.protocol import EpisodeRef
from featurize.survey import Survey
from featurize.threads import repeatable_threads
from featurize.video.verify import verify_decodes
from store_schema.format import SLOT_FRAMES, LatentShape, array_specs
from store_schema.quantisation import ChannelStatistics, quantise
from store_schema.tables import Trajectory

INDEX_SHARE: Final = 0.2
DECODE_SHARE: Final = 0.25
ENCODE_SHARE: Final = 0.25
DISK_SHARE: Final = 0.3
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one worker does in a second.

    index_frames_per_second: video frames; the others: stored frames. encode_batch_frames: frames a forward
    pass when the encoder was measured, fewer than the recipe's where these would have taken too long.
    """

    index_frames_per_second: float
    decode_frames_per_second: float
    encode_frames_per_second: float
    encode_batch_frames: int
    device: str
    disk: DiskRates


def measure_rates(
    build: Build,
    survey: Survey,
    encoder: FrozenEncoder,
    seconds: float,
    say: Callable[[str], None],
) -> Rates:
    """Measure every stage for its share of `seconds`, one after the other, each at least once.

    build: its store is a folder that may be filled, and that the caller removes. survey: of its source.
    say: told of each stage as it begins. Raises NotEnoughEpisodesError where no sampled episode
    can be decoded.
    """
    say("Measuring index.")
    index_rate = _rate(_indexing(build, survey.streams), seconds * INDEX_SHARE)
    say("Measuring decode.")
    decode_rate = decode_rate_of(build, survey, seconds * DECODE_SHARE)
    say("Measuring encode.")
    batch_frames = build.recipe.encode_batch_frames
    with repeatable_threads(encoder.device):
        encode_rate, batch_frames = encode_rate_of(encoder, batch_frames, seconds * ENCODE_SHARE)
    say("Measuring disk.")
    specs = array_specs(
        LatentShape(num_tokens=encoder.spec.num_tokens, width=encoder.spec.width), build.recipe.quantisation
    )
    frames_per_slot = round(survey.workload.frames.value / survey.workload.slots.value)
    disk = measure_disk(build.store, specs, frames_per_slot, seconds * DISK_SHARE)
    return Rates(
        index_frames_per_second=index_rate,
        decode_frames_per_second=decode_rate,
        encode_frames_per_second=encode_rate,
        encode_batch_frames=batch_frames,
        device=str(encoder.device),
        disk=disk,
    )


def random_encoder(name: str, device: str) -> FrozenEncoder:
    """The encoder `name` in its true size with drawn weights: as fast as the published one, and no download.

    Takes 4 bytes a parameter of memory while it is built: 4.0 GB for ViT-g.
    """
    spec, dtype = encoder_spec(name), default_dtype(torch.device(device))
    network = _random_network(spec)
    network.cast_compute(dtype)
    return FrozenEncoder(
        network,
        spec,
        weights_sha256="drawn, not loaded",
        attention="timm" if isinstance(spec, TimmSpec) else "sdpa",
        device=torch.device(device),
        dtype=dtype,
    )


def decode_rate_of(build: Build, survey: Survey, seconds: float) -> float:
    """Stored frames a second, decoded, cropped and resized by one thread.

    build, survey: as `measure_rates` takes them. Raises NotEnoughEpisodesError.
    """
    amounts = _decoding(build, survey)
    # The first waits for the process that reads foreign files to come up.
    started = next(amounts, None)
    return _rate(amounts if started is not None else iter(()), seconds)


def encode_rate_of(encoder: FrozenEncoder, max_batch_frames: int, seconds: float) -> tuple[float, int]:
    """Frames a second, encoded and quantised, and the frames of a pass at which that was so.

    Slots of drawn frames, on the device already, are encoded in passes and then quantised, as `encode` does
    it. They double from one frame on up to a whole slot as long as there is time, so that a slow device is
    measured too; only the largest count.
    """
    frames_FCSS, statistics = _drawn(encoder)
    if encoder.device.type == "cuda":  # compile first, and count from then on
        for size in passes(2 * max_batch_frames - 1):
            encoder.encode(frames_FCSS[:size])
        torch.cuda.synchronize(encoder.device)
    ends, slot_frames = time.perf_counter() + seconds, 1
    num_frames, passed_seconds = 0, 0.0
    while True:
        started = time.perf_counter()
        _encode_slot(encoder, torch.split(frames_FCSS[:slot_frames], max_batch_frames), statistics)
        slot_seconds = time.perf_counter() - started
        num_frames, passed_seconds = num_frames + slot_frames, passed_seconds + slot_seconds
        left_seconds = ends - time.perf_counter()
        if slot_seconds > left_seconds:
            return num_frames / passed_seconds, min(slot_frames, max_batch_frames)
        if slot_frames < SLOT_FRAMES and 2 * slot_seconds <= left_seconds:
            slot_frames *= 2
            num_frames, passed_seconds = 0, 0.0


def _drawn(encoder: FrozenEncoder) -> tuple[torch.Tensor, ChannelStatistics]:
    """Frames of a whole slot, and statistics to quantise their latents by, on the encoder's device."""
    spec = encoder.spec
    frames_FCSS = torch.rand(SLOT_FRAMES, 3, spec.image_size_px, spec.image_size_px).mul_(255)
    statistics = ChannelStatistics(mean_D=torch.zeros(spec.width), std_D=torch.ones(spec.width))
    return encoder.upload(frames_FCSS), statistics.to(encoder.device)


def _encode_slot(
    encoder: FrozenEncoder, batches: Sequence[torch.Tensor], statistics: ChannelStatistics
) -> None:
    for latents_FND in [encoder.encode(batch_FCSS) for batch_FCSS in batches]:
        codes_FND, _ = quantise(latents_FND, statistics)
        codes_FND.cpu()


def _random_network(spec: EncoderSpec) -> TimmPatchTokens | Vjepa2Vit:
    if isinstance(spec, TimmSpec):
        return build_timm(spec.timm_name)
    assert isinstance(spec, Vjepa2Spec), spec
    vit = build_vjepa2(spec)
    vit.load_state_dict(random_weights(vit, seed=0), strict=True, assign=True)
    fold_patches(vit)
    return vit


def _indexing(build: Build, streams: list[IndexedStream]) -> Iterator[int]:
    """Video frames of one camera after the other, looked at as `index` does."""
    source = open_source(build)

    def look(stream: IndexedStream) -> int:
        ref = EpisodeRef(episode_id=stream.episode_id, location=stream.location)
        episode = source.load(ref, (stream.camera,), build.recipe.clock)
        with rejecting(stream.episode_id, "index"):
            verify_decodes(episode.streams[stream.camera].video_path, stream.num_rows)
        return stream.num_rows

    yield from _usable(streams, look)


def _decoding(build: Build, survey: Survey) -> Iterator[int]:
    """Stored frames of one slot after the other, decoded, cropped and resized as `encode` does."""
    write_index(build, survey.streams, [])
    with TrajectoryLoader(build, survey.trajectories) as loader:

        def load(item: tuple[Trajectory, int]) -> int:
            trajectory, slot = item
            steps = np.asarray(trajectory.frames_of_slot(slot))
            return len(loader.load(trajectory, steps).pixels_FCHW)

        yield from _usable([(t, slot) for t in survey.trajectories for slot in t.slots], load)


Item = TypeVar("Item")


def _usable(items: Iterable[Item], work: Callable[[Item], int]) -> Iterator[int]:
    """What `work` says of each item, round after round; items that turn out to be damaged are left out."""
    waiting = deque(items)
    while waiting:
        item = waiting.popleft()
        try:
            amount = work(item)
        except EpisodeRejected as rejected:
            logger.warning("Left out of the measurement: %s", rejected)
            continue
        waiting.append(item)
        yield amount


def _rate(amounts: Iterator[int], seconds: float) -> float:
    """Sum of the amounts a second, over as many as come within `seconds`, at least one."""
    started, done, elapsed = time.perf_counter(), 0, 0.0
    for amount in amounts:
        done, elapsed = done + amount, time.perf_counter() - started
        if elapsed >= seconds:
            break
    if not done:
        raise NotEnoughEpisodesError(
            "No sampled episode could be decoded: the warnings above say why. Mend the source."
        )
    return done / elapsed
