"""Clips as an objective sees them, and what the loop asks of whoever supplies them.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action and state size (7).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from store_schema.batch import ClipBatch
from store_schema.quantisation import ChannelStatistics, dequantise

BatchT_co = TypeVar("BatchT_co", covariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Clips:
    """B clips of T frames on the training device, all float32.

    latents_BTND: layer-normed over the channels, as encoded. states_BTA: xyz in metres, extrinsic-xyz Euler
    angles in radians, gripper 0..1. actions_BTA: (B, T-1, 7), change of state from each frame to the next.
    """

    latents_BTND: Tensor
    states_BTA: Tensor
    actions_BTA: Tensor

    @classmethod
    def from_store(
        cls, batch: ClipBatch, statistics: ChannelStatistics | None, device: torch.device
    ) -> "Clips":
        """Carry stored clips to the device and dequantise them there; nothing aliases the batch's memory.

        statistics: those of the store, on `device`; None for a float16 store.
        """
        there = batch.to(device, non_blocking=True)
        if there.token_scale_BTN is None or statistics is None:
            latents_BTND = there.latents_BTND.float()
        else:
            to_latents = _fused_dequantise() if device.type == "cuda" else dequantise
            latents_BTND = to_latents(there.latents_BTND, there.token_scale_BTN, statistics)
        # On the CPU `to` copies nothing, and the buffers behind the batch are filled again.
        states_BTA, actions_BTA = (
            (values.clone() if device.type == "cpu" else values)
            for values in (there.states_BTA, there.actions_BTA)
        )
        return cls(latents_BTND=latents_BTND, states_BTA=states_BTA, actions_BTA=actions_BTA)


@cache
def _fused_dequantise() -> Callable[[Tensor, Tensor, ChannelStatistics], Tensor]:
    """One kernel that reads codes and writes latents; uncompiled there are four, each over all latents."""
    return torch.compile(dequantise)


class BatchStream(Protocol[BatchT_co]):
    """Micro-batches in the order of the updates, as many for each update as the recipe says."""

    @property
    def waited_seconds(self) -> float:
        """How long `next` has stood still for data since the stream was opened."""

    def __iter__(self) -> Iterator[BatchT_co]:
        """The stream itself."""

    def __next__(self) -> BatchT_co:
        """The next micro-batch, valid for as long as it is held."""


class BatchSource(Protocol[BatchT_co]):
    """The batches of a run, from any of its updates on."""

    def stream(self, first_step: int) -> AbstractContextManager[BatchStream[BatchT_co]]:
        """Open the stream at update `first_step`; leaving the context stops whatever works behind it."""


class ClipSupply(Protocol):
    """Clips by the addresses of their first frames: read from a store, or encoded on the fly."""

    def stream(
        self, first_frames: Iterator[NDArray[np.int64]], *, clip_frames: int, max_clips: int
    ) -> AbstractContextManager[BatchStream[Clips]]:
        """One batch for each array (B,) of addresses, B at most `max_clips`, in order, prepared ahead.

        Leaving the context stops whatever works behind it.
        """
