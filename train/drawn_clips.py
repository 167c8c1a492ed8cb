"""The clips of a run's updates: the sampler says which, the supply brings them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.clips import BatchStream, Clips, ClipSupply
from train.windows import WindowSampler


@dataclass(frozen=True, kw_only=True)
class DrawnClips:
    """Training clips drawn by `sampler`, in micro-batches of `micro_batch_clips`."""

    supply: ClipSupply
    sampler: WindowSampler
    clip_frames: int
    micro_batch_clips: int

    def stream(self, first_step: int) -> AbstractContextManager[BatchStream[Clips]]:
        """Clips from update `first_step` on, for ever."""
        return self.supply.stream(
            self._micro_batches(first_step), clip_frames=self.clip_frames, max_clips=self.micro_batch_clips
        )

    def _micro_batches(self, first_step: int) -> Iterator[NDArray[np.int64]]:
        step = first_step
        while True:
            addresses = self.sampler.draw(step)
            yield from addresses.reshape(-1, self.micro_batch_clips)
            step += 1
