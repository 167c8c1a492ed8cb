"""Checkpoints as facebookresearch/vjepa2 publishes them (`vitl.pt` and its kin)."""

from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch

from featurize.encoder.errors import CheckpointKeyError, CheckpointUnreadableError, WeightsUnavailableError
from featurize.encoder.weights import EncoderWeights
from store_schema.tensor_file import TensorFileError, read_tensor_file

_PREFIXES = ("module.", "backbone.")
# Upstream saves the sine table of an earlier variant along with the weights; RoPE has no use for it.
_UNUSED = "pos_embed"


def read_official(path: Path, checkpoint_key: str) -> EncoderWeights:
    """Read one encoder of an official checkpoint, through a memory map.

    Raises:
        CheckpointUnreadableError: not a checkpoint that can be read without running code from it.
        CheckpointKeyError: no network under `checkpoint_key`; the message lists what there is.
    """
    checkpoint = _read(path)
    network = checkpoint.get(checkpoint_key)
    if not isinstance(network, dict):
        raise CheckpointKeyError(
            f"{path} has no network '{checkpoint_key}'; it has {_networks(checkpoint)}. "
            "Choose one of them with --checkpoint-key."
        )
    tensors = _without_prefixes(network, path)
    unused = tuple(key for key in tensors if key == _UNUSED)
    kept = {key: tensor for key, tensor in tensors.items() if key not in unused}
    return EncoderWeights(origin=f"{path} ('{checkpoint_key}')", tensors=kept, unused=unused)


def cached_official(url: str) -> Path:
    """Path of a published file in torch.hub's cache, downloaded first where it is not there yet.

    Raises:
        WeightsUnavailableError: neither in the cache nor reachable.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (URLError, OSError) as error:
            raise WeightsUnavailableError(
                f"{path} does not exist and {url} cannot be fetched: {error}. "
                "Go online once, put the file there, or pass --weights PATH."
            ) from error
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_tensor_file(path, mapped=True)
    except TensorFileError as error:
        raise CheckpointUnreadableError(f"{path} {error}") from error


def _networks(checkpoint: dict[str, Any]) -> str:
    names = [
        f"'{key}'" for key, value in checkpoint.items() if isinstance(value, dict) and "encoder" in str(key)
    ]
    return ", ".join(names) or f"only {', '.join(map(str, list(checkpoint)[:8])) or 'nothing'}"


def _without_prefixes(network: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in network.items():
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointUnreadableError(
                f"{path} holds a {type(tensor).__name__} as {key!r}; expected tensors only."
            )
        short = str(key)
        for prefix in _PREFIXES:
            short = short.removeprefix(prefix)
        if short in tensors:
            raise CheckpointUnreadableError(f"{path} holds '{short}' twice, under different prefixes.")
        tensors[short] = tensor
    return tensors
