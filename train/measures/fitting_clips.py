"""Clips of the training split that baselines and probes are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from train.clips import Clips
from train.subset import long_enough
from train.view import View
from train.windows import SampleBy, WindowSampler

_SEED: Final = 0


def fitting_clips(view: View, *, clip_frames: int, num_clips: int, batch_clips: int) -> Iterator[Clips]:
    """About `num_clips` clips of training trajectories, the same at every call; none of the held-out ones.

    Raises SubsetError where no training trajectory is long enough.
    """
    sampler = WindowSampler.over(
        long_enough(view.split("train"), clip_frames),
        clip_frames=clip_frames,
        batch_clips=num_clips,
        sample_by=SampleBy.WINDOW,
        seed=_SEED,
    )
    parts = np.array_split(sampler.draw(0), -(-num_clips // batch_clips))
    with view.clips.stream(iter(parts), clip_frames=clip_frames, max_clips=batch_clips) as stream:
        yield from stream
