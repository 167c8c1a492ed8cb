"""Host memory that clips are read into, allocated once and filled again and again.

A process that only reads imports this without torch, which takes it seconds and hundreds of megabytes.
Legend: B clips, T frames, N tokens per frame, D encoder width, A action and state size (7).
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store_schema.format import STATE_SIZE, LatentShape, Quantisation

Entry = tuple[tuple[int, ...], np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """What a batch of clips takes."""

    num_clips: int
    num_frames: int
    latent_shape: LatentShape
    quantisation: Quantisation

    @property
    def entries(self) -> dict[str, Entry]:
        """Shape and dtype of every array of `ClipBuffers`, by its field."""
        frames = (self.num_clips, self.num_frames)
        num_tokens, width = self.latent_shape.num_tokens, self.latent_shape.width
        entries = {
            "latents_BTND": ((*frames, num_tokens, width), np.dtype(self.quantisation.value)),
            "states_BTA": ((*frames, STATE_SIZE), np.dtype(np.float32)),
            "actions_BTA": ((*frames, STATE_SIZE), np.dtype(np.float32)),
        }
        if self.quantisation is Quantisation.INT8:
            entries["token_scale_BTN"] = ((*frames, num_tokens), np.dtype(np.float16))
        return entries

    @property
    def num_bytes(self) -> int:
        """Memory of all arrays, each from the beginning of a page on."""
        return sum(_whole_pages(entry) for entry in self.entries.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBuffers:
    """Page-aligned host memory for one batch.

    Large numpy arrays start 16 bytes past a page boundary, where some processors copy at a quarter of
    their speed; memory maps start on one. So a frame of whole pages can come past the page cache, too.
    """

    latents_BTND: NDArray[np.int8] | NDArray[np.float16]
    token_scale_BTN: NDArray[np.float16] | None
    states_BTA: NDArray[np.float32]
    actions_BTA: NDArray[np.float32]

    @classmethod
    def allocate(
        cls, *, num_clips: int, num_frames: int, latent_shape: LatentShape, quantisation: Quantisation
    ) -> "ClipBuffers":
        """Buffers for `num_clips` clips of `num_frames` frames."""
        shape = ClipShape(
            num_clips=num_clips, num_frames=num_frames, latent_shape=latent_shape, quantisation=quantisation
        )
        return cls.of_shape(shape)

    @classmethod
    def of_shape(cls, shape: ClipShape) -> "ClipBuffers":
        """Buffers of a shape."""
        return next(cls.carved(mmap.mmap(-1, shape.num_bytes), shape))

    @classmethod
    def carved(cls, memory: mmap.mmap, shape: ClipShape) -> Iterator["ClipBuffers"]:
        """As many buffers as fit into `memory`, one after the other; `memory` stays in use by them."""
        for start in range(0, len(memory) - shape.num_bytes + 1, shape.num_bytes):
            arrays: dict[str, Any] = {"token_scale_BTN": None}
            offset = start
            for name, entry in shape.entries.items():
                arrays[name] = _array(memory, entry, offset)
                offset += _whole_pages(entry)
            yield cls(**arrays)

    @property
    def num_frames(self) -> int:
        """Frames a clip."""
        return int(self.states_BTA.shape[1])

    def first(self, num_clips: int) -> "ClipBuffers":
        """The first clips of the same memory."""
        return ClipBuffers(
            latents_BTND=self.latents_BTND[:num_clips],
            token_scale_BTN=None if self.token_scale_BTN is None else self.token_scale_BTN[:num_clips],
            states_BTA=self.states_BTA[:num_clips],
            actions_BTA=self.actions_BTA[:num_clips],
        )


def _array(memory: mmap.mmap, entry: Entry, offset: int) -> NDArray[Any]:
    shape, dtype = entry
    return np.frombuffer(memory, dtype=dtype, count=math.prod(shape), offset=offset).reshape(shape)


def _whole_pages(entry: Entry) -> int:
    shape, dtype = entry
    return -(-math.prod(shape) * dtype.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
