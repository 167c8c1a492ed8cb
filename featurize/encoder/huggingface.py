"""Checkpoints as Hugging Face publishes them (`facebook/vjepa2-vitl-fpc64-256` and its kin)."""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from featurize.encoder.errors import CheckpointUnreadableError
from featurize.encoder.weights import EncoderWeights

# Names of VJEPA2Model in transformers' modeling_vjepa2.py, ours to the right.
_RENAMES = (
    (re.compile(r"^encoder\.embeddings\.patch_embeddings\.proj\."), "patch_embed.proj."),
    (re.compile(r"^encoder\.layer\.(\d+)\.attention\."), r"blocks.\1.attn."),
    (re.compile(r"^encoder\.layer\.(\d+)\."), r"blocks.\1."),
    (re.compile(r"^encoder\.layernorm\."), "norm."),
)
_PREDICTOR = re.compile(
    r"^predictor\.(embeddings\.mask_tokens|(embeddings\.predictor_embeddings|layernorm|proj"
    r"|layer\.\d+\.(norm[12]|attention\.(query|key|value|proj)|mlp\.fc[12]))\.(weight|bias))$"
)
_QKV = ("query", "key", "value")


def is_huggingface(path: Path) -> bool:
    """A .safetensors file, or a folder of them as a download leaves it."""
    return path.is_dir() or path.suffix == ".safetensors"


def read_huggingface(path: Path) -> EncoderWeights:
    """Read the encoder of a Hugging Face checkpoint; the predictor's tensors are named, not read.

    Raises:
        CheckpointUnreadableError: no safetensors file there, or a damaged one.
    """
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise CheckpointUnreadableError(
            f"{path} holds no .safetensors file; download the whole repository into it."
        )
    tensors: dict[str, torch.Tensor] = {}
    unused: list[str] = []
    for file in files:
        for key, tensor in _tensors(file):
            if tensor is None:
                unused.append(key)
            else:
                tensors[_official_name(key)] = tensor
    return EncoderWeights(origin=str(path), tensors=_fuse_qkv(tensors), unused=tuple(unused))


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor | None]]:
    try:
        with safe_open(file, framework="pt") as handle:
            for key in handle.keys():  # noqa: SIM118 (not a mapping)
                yield key, None if _PREDICTOR.match(key) else handle.get_tensor(key)
    except SafetensorError as error:
        raise CheckpointUnreadableError(f"{file} is damaged: {error}. Fetch it again.") from error


def _official_name(key: str) -> str:
    for pattern, replacement in _RENAMES:
        renamed, count = pattern.subn(replacement, key)
        if count:
            return renamed
    return key


def _fuse_qkv(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Stack query, key and value, in this order, as the official linear map has them."""
    fused = dict(tensors)
    for key in tensors:
        if ".attn.query." not in key:
            continue
        parts = [key.replace(".query.", f".{part}.") for part in _QKV]
        if all(part in fused for part in parts):
            fused[key.replace(".query.", ".qkv.")] = torch.cat([fused.pop(part) for part in parts])
    return fused
