"""What a predictor keeps of frames it has seen: later ones attend to them without computing them again.

Block-causal attention makes keys and values of a frame independent of every frame after it. Gradients flow
through them like through anything else.

Shape legend: B clips, C tokens kept, G attention heads, H channels of one head.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch


class KeyValue(NamedTuple):
    """Keys, rotated to their places in time and frame, and values of one block: both (B, G, C, H)."""

    key_BGCH: torch.Tensor
    value_BGCH: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens held, C."""
        return self.key_BGCH.shape[2]

    def followed_by(self, later: KeyValue) -> KeyValue:
        """Both, in order of time."""
        return KeyValue(*(torch.cat(pair, dim=2) for pair in zip(self, later, strict=True)))

    def shared_by(self, num_clips: int) -> KeyValue:
        """The same for each of `num_clips` clips, without a copy; it is of one clip."""
        return KeyValue(*(tensor_1GCH.expand(num_clips, -1, -1, -1) for tensor_1GCH in self))

    def first(self, num_tokens: int) -> KeyValue:
        """A copy of the first tokens, which leaves the rest free to be dropped."""
        return KeyValue(*(tensor_BGCH[:, :, :num_tokens].clone() for tensor_BGCH in self))


@dataclass(frozen=True, eq=False)
class Prefix:
    """The frames that `Predictor.extend` continues: `num_frames` of them, a `KeyValue` for each block.

    Without frames there are no blocks either.
    """

    num_frames: int
    blocks: tuple[KeyValue, ...]

    @classmethod
    def of(cls, num_frames: int, blocks: Iterable[KeyValue | None]) -> Prefix:
        """What the blocks of a predictor hand out, each None where nothing is kept."""
        return cls(num_frames, tuple(block for block in blocks if block is not None))

    @property
    def num_clips(self) -> int | None:
        """Clips it was made of, B; None where it holds no frame."""
        return self.blocks[0].key_BGCH.shape[0] if self.blocks else None

    def shared_by(self, num_clips: int) -> Prefix:
        """The common past of `num_clips` clips; this one is of one clip, or without frames."""
        return Prefix(self.num_frames, tuple(block.shared_by(num_clips) for block in self.blocks))

    def of_block(self, number: int) -> KeyValue | None:
        """What block `number`, counted from 0, has kept."""
        return self.blocks[number] if self.blocks else None


NO_FRAMES = Prefix(num_frames=0, blocks=())
"""The prefix of a clip's start."""
