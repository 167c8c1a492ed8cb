"""Batches in order, whose clips threads load ahead. Legend: B clips of a batch."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from train.clips import Clips

LoadedT = TypeVar("LoadedT")


@dataclass(kw_only=True, eq=False)
class OnlineStream(Generic[LoadedT]):
    """One batch for each array (B,) of addresses; implements `train.clips.BatchStream`.

    clips_ahead: clips loaded before they are asked for; the last batch of them may reach beyond.
    waited_seconds: for what is loaded. Encoding is part of the step, as in a loop that calls the encoder
    itself. An error of a loading thread is raised by the `next` whose clips it concerns.
    """

    load: Callable[[int], LoadedT]
    encode: Callable[[Sequence[LoadedT]], Clips]
    threads: ThreadPoolExecutor
    first_frames: Iterator[NDArray[np.int64]]
    clips_ahead: int
    waited_seconds: float = 0.0
    _batches: deque[list[Future[LoadedT]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._load_ahead()

    def __iter__(self) -> "OnlineStream[LoadedT]":
        return self

    def __next__(self) -> Clips:
        if not self._batches:
            raise StopIteration
        loading = self._batches.popleft()
        self._load_ahead()
        started = time.perf_counter()
        loaded = [clip.result() for clip in loading]
        self.waited_seconds += time.perf_counter() - started
        return self.encode(loaded)

    def cancel(self) -> None:
        """Drop what nobody has begun to load."""
        for clip in (clip for batch in self._batches for clip in batch):
            clip.cancel()

    def _load_ahead(self) -> None:
        while sum(map(len, self._batches)) < self.clips_ahead:
            first_frame_B = next(self.first_frames, None)
            if first_frame_B is None:
                return
            self._batches.append([self.threads.submit(self.load, f) for f in first_frame_B.tolist()])
