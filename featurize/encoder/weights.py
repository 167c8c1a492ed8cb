"""Weights from a file into a network, every tensor accounted for, and their hash."""

import hashlib
import logging
from dataclasses import dataclass

import torch
from torch import nn

from featurize.encoder.errors import CheckpointMismatchError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderWeights:
    """Tensors under the official names, and what else lay beside them."""

    origin: str
    """Where they come from, for messages."""
    tensors: dict[str, torch.Tensor]
    unused: tuple[str, ...] = ()
    """Keys that are known to be there and that this network has no use for."""


def load_strictly(vit: nn.Module, weights: EncoderWeights, encoder: str) -> None:
    """Fill `vit`, whose parameters may live on the meta device, with float32 copies of `weights`.

    Raises:
        CheckpointMismatchError: a tensor is missing, unexpected, of another shape, or not of real numbers;
            `vit` is unchanged.
    """
    wanted, given = vit.state_dict(), weights.tensors
    missing = sorted(wanted.keys() - given.keys())
    unexpected = sorted(given.keys() - wanted.keys())
    misshapen = [
        f"{key} {_described(given[key])} instead of {list(wanted[key].shape)}"
        for key in sorted(wanted.keys() & given.keys())
        if given[key].shape != wanted[key].shape or not _is_real(given[key])
    ]
    if missing or unexpected or misshapen:
        raise CheckpointMismatchError(
            weights.origin, encoder, missing=missing, unexpected=unexpected, misshapen=misshapen
        )
    # Copies: a file that is rewritten later must not reach into a frozen encoder through its memory map.
    copies = {key: tensor.to(torch.float32, copy=True) for key, tensor in given.items()}
    vit.load_state_dict(copies, strict=True, assign=True)
    unused = ", ".join(weights.unused) or "none"
    _log.info("%s: %d tensors loaded; known and unused: %s", weights.origin, len(given), unused)


def _is_real(tensor: torch.Tensor) -> bool:
    """Whether it can become float32; integers are weights of a quantised network, with scales elsewhere."""
    return tensor.is_floating_point() and tensor.layout is torch.strided


def _described(tensor: torch.Tensor) -> str:
    kind = "" if _is_real(tensor) else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{list(tensor.shape)}{kind}"


def weights_sha256(network: nn.Module) -> str:
    """Hash what was loaded: for each tensor in order of name its name, dtype, shape and bytes.

    Taken from the float32 tensors before they are cast to the compute dtype and under our names, so the
    same weights give the same hash from an official and from a Hugging Face file, on every device.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
