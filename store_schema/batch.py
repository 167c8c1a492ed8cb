"""The read side's values: a batch of clips as tensors.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action and state size (7).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from store_schema.buffers import ClipBuffers
from store_schema.errors import SchemaError
from store_schema.format import STATE_SIZE


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """B clips of T consecutive stored frames, as they lie in the store.

    latents_BTND: int8 codes, or float16 latents.
    token_scale_BTN: float16 scales of the codes; None where the latents are float16.
    states_BTA: float32, end effector xyz in metres, extrinsic-xyz Euler angles in radians, gripper 0..1.
    actions_BTA: float32, change of state from each frame to the next stored one, T-1 of them.

    Raises SchemaError where shapes or dtypes disagree.
    """

    latents_BTND: Tensor
    token_scale_BTN: Tensor | None
    states_BTA: Tensor
    actions_BTA: Tensor

    def __post_init__(self) -> None:
        if self.latents_BTND.ndim != 4:
            shape = tuple(self.latents_BTND.shape)
            raise SchemaError(f"Latents of a clip batch are (B, T, N, D); got {shape}.")
        num_clips, num_frames, num_tokens, _ = self.latents_BTND.shape
        is_codes = self.latents_BTND.dtype is torch.int8
        if not is_codes and self.latents_BTND.dtype is not torch.float16:
            raise SchemaError(f"Latents of a clip batch are int8 or float16; got {self.latents_BTND.dtype}.")
        _expect(self.states_BTA, "states", (num_clips, num_frames, STATE_SIZE), torch.float32)
        _expect(self.actions_BTA, "actions", (num_clips, num_frames - 1, STATE_SIZE), torch.float32)
        if is_codes != (self.token_scale_BTN is not None):
            raise SchemaError("A clip batch has token scales exactly when its latents are int8 codes.")
        if self.token_scale_BTN is not None:
            _expect(self.token_scale_BTN, "token_scale", (num_clips, num_frames, num_tokens), torch.float16)

    @classmethod
    def of(cls, buffers: ClipBuffers) -> "ClipBatch":
        """A view of the buffers, valid until they are filled again; the last frame's action is left out."""
        scale = buffers.token_scale_BTN
        return cls(
            latents_BTND=torch.from_numpy(buffers.latents_BTND),
            token_scale_BTN=None if scale is None else torch.from_numpy(scale),
            states_BTA=torch.from_numpy(buffers.states_BTA),
            actions_BTA=torch.from_numpy(buffers.actions_BTA)[:, :-1],
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "ClipBatch":
        """The same batch on another device."""
        scale = self.token_scale_BTN
        return ClipBatch(
            latents_BTND=self.latents_BTND.to(device, non_blocking=non_blocking),
            token_scale_BTN=None if scale is None else scale.to(device, non_blocking=non_blocking),
            states_BTA=self.states_BTA.to(device, non_blocking=non_blocking),
            actions_BTA=self.actions_BTA.to(device, non_blocking=non_blocking),
        )


def _expect(tensor: Tensor, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tensor.dtype is not dtype or tuple(tensor.shape) != shape:
        raise SchemaError(
            f"Clip batch '{name}' is {tensor.dtype} {tuple(tensor.shape)}; expected {dtype} {shape}."
        )
