"""Clips that lie about what was done: the actions of each are those of another clip of its batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from store_schema.store import Store
from train.clips import BatchStream, Clips, ClipSupply
from train.view import View


def with_foreign_actions(store: Store, device: torch.device) -> View:
    """For `view_of` of `train.trainer.train`: clips with the actions of the one before.

    Batches need two clips or more. Two clips of a batch may lie in the same trajectory, by chance.
    """
    view = View.of_store(store, device)
    return replace(view, clips=_ForeignActions(view.clips))


@dataclass(frozen=True)
class _ForeignActions:
    supply: ClipSupply

    @contextmanager
    def stream(self, first_frames, **sizes) -> Iterator[BatchStream[Clips]]:
        with self.supply.stream(first_frames, **sizes) as stream:
            yield _Rolled(stream)


class _Rolled:
    def __init__(self, stream: BatchStream[Clips]) -> None:
        self.stream = stream

    @property
    def waited_seconds(self) -> float:
        return self.stream.waited_seconds

    def __iter__(self) -> Iterator[Clips]:
        return self

    def __next__(self) -> Clips:
        clips = next(self.stream)
        return replace(clips, actions_BTA=clips.actions_BTA.roll(1, dims=0))
