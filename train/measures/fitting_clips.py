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
    """At most `num_clips` clips of training trajectories, the same at every call; none of the held-out ones.

    None comes twice, so that leaving one out leaves it out.

    Raises SubsetError where no training trajectory is long enough.
    """
    sampler = WindowSampler.over(
        long_enough(view.split("train"), clip_frames),
        clip_frames=clip_frames,
        batch_clips=num_clips,
        sample_by=SampleBy.WINDOW,
        seed=_SEED,
    )
    drawn = np.unique(sampler.draw(0))
    parts = np.array_split(drawn, -(-len(drawn) // batch_clips))
    with view.clips.stream(iter(parts), clip_frames=clip_frames, max_clips=batch_clips) as stream:
        yield from stream
