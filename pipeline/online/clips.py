"""Clips that are decoded and encoded when they are asked for.

Threads decode ahead, each through a child process of its own; the encoder runs in whoever asks, before the
update that the clips are for.

Legend: B clips, T frames, F frames of several clips, C colours, H W pixels, N tokens per frame, D encoder
width, A action and state size (7).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featurize.encoder.registry import FrozenEncoder
from featurize.frames import TrajectoryLoader
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected
from featurize.threads import most_decoders
from pipeline.online.errors import OnlineEpisodeError
from pipeline.online.stream import OnlineStream
from store_schema.tables import Trajectory
from train.clips import Clips


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedClip:
    """What the encoder sees of a clip, on its device, and the rows beside it.

    pixels_TCHW: float32 0..255. states_TA, actions_TA: float32, as stored; the last action leads out of it.
    """

    pixels_TCHW: Tensor
    states_TA: NDArray[np.float32]
    actions_TA: NDArray[np.float32]


class OnlineClips:
    """Clips of planned trajectories, on the encoder's device; implements `train.clips.ClipSupply`.

    trajectories: in the order of their addresses.
    """

    def __init__(self, build: Build, trajectories: Sequence[Trajectory], encoder: FrozenEncoder) -> None:
        self.build, self.trajectories, self.encoder = build, trajectories, encoder
        self._num_decoders = most_decoders(encoder.device)
        self._decoders: _Decoders | None = None

    @contextmanager
    def stream(
        self, first_frames: Iterator[NDArray[np.int64]], *, clip_frames: int, max_clips: int
    ) -> Iterator[OnlineStream[LoadedClip]]:
        """One batch for each array (B,) of addresses; a stream opened inside shares the child processes.

        They and the threads are gone when the first stream is left.
        """
        with self._decoding() as decoders:
            stream = OnlineStream(
                load=partial(self._load, decoders.loader, clip_frames),
                encode=self._encode,
                threads=decoders.threads,
                first_frames=first_frames,
                # While one batch is worked on another waits, and no decoder wants for work.
                clips_ahead=2 * max(max_clips, self._num_decoders),
            )
            try:
                yield stream
            finally:
                stream.cancel()

    @contextmanager
    def _decoding(self) -> Iterator["_Decoders"]:
        if self._decoders is not None:
            yield self._decoders
            return
        # The update beside them has all cores; what a decoding thread does itself takes one.
        threads = ThreadPoolExecutor(self._num_decoders, "clip-decoder", torch.set_num_threads, (1,))
        with threads, TrajectoryLoader(self.build, self.trajectories, self._num_decoders) as loader:
            self._decoders = _Decoders(threads, loader)
            try:
                yield self._decoders
            finally:
                self._decoders = None

    def _load(self, loader: TrajectoryLoader, clip_frames: int, first_frame: int) -> LoadedClip:
        place = bisect_right(self.trajectories, first_frame, key=lambda t: t.first_frame)
        trajectory = self.trajectories[place - 1]
        first_step = first_frame - trajectory.first_frame
        try:
            frames = loader.load(trajectory, np.arange(first_step, first_step + clip_frames))
        except EpisodeRejected as rejected:
            raise OnlineEpisodeError.of(rejected) from rejected
        return LoadedClip(
            pixels_TCHW=self.encoder.upload(frames.pixels_FCHW),
            states_TA=frames.rows["states"],
            actions_TA=frames.rows["actions"],
        )

    def _encode(self, loaded: Sequence[LoadedClip]) -> Clips:
        pixels_FCHW = torch.cat([clip.pixels_TCHW for clip in loaded])
        batches = torch.split(pixels_FCHW, self.build.recipe.encode_batch_frames)
        # Held-out clips are asked for under the predictor's autocast, and are to be the same latents.
        with torch.autocast(self.encoder.device.type, enabled=False):
            # Concatenating takes them out of inference mode, so that a loss may remember them.
            latents_FND = torch.cat([self.encoder.encode(batch_FCHW) for batch_FCHW in batches])
        states_BTA, actions_BTA = (
            torch.from_numpy(np.stack(rows)).to(self.encoder.device)
            for rows in ([clip.states_TA for clip in loaded], [clip.actions_TA for clip in loaded])
        )
        return Clips(
            latents_BTND=latents_FND.reshape(*states_BTA.shape[:2], *latents_FND.shape[1:]),
            states_BTA=states_BTA,
            actions_BTA=actions_BTA[:, :-1],
        )


@dataclass(frozen=True)
class _Decoders:
    """As many threads as child processes."""

    threads: ThreadPoolExecutor
    loader: TrajectoryLoader
