"""The official checkpoint of the predictor (`vjepa2-ac-vitg.pt`), read and written without loss.

The file holds a mapping with the predictor's state dict under 'predictor', every name behind 'module.' (it
was saved from DistributedDataParallel). Our module has the same names behind that prefix, so a conversion
moves tensors and never changes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from store_schema.tensor_file import TensorFileError, read_tensor_file
from train.predictor import Predictor, PredictorConfig

StateDict = Mapping[str, torch.Tensor]

_KEY = "predictor"
_PREFIX = "module."
_LISTED = 20


class OfficialCheckpointError(Exception):
    """A file is not an official predictor checkpoint, or not one of the sizes configured."""


def load_official_predictor(path: Path, config: PredictorConfig) -> dict[str, torch.Tensor]:
    """Read the predictor of an official checkpoint as a state dict for `Predictor(config)`.

    Tensors are mapped from the file, not copied; nothing in it is executed.

    Raises OfficialCheckpointError where the head, a name, a shape or a dtype differs, and lists every
    tensor that does.
    """
    _ensure_absolute_head(config)
    checkpoint = _read(path)
    if _KEY not in checkpoint:
        raise OfficialCheckpointError(
            f"{path.name} has no key '{_KEY}'; it has {_some(list(map(repr, checkpoint)), ', ')}. "
            "The predictor is in vjepa2-ac-vitg.pt; the encoder files without 'ac' do not hold it."
        )
    if not isinstance(checkpoint[_KEY], dict):
        raise OfficialCheckpointError(
            f"{path.name} holds a {type(checkpoint[_KEY]).__name__} under '{_KEY}'; expected its tensors."
        )
    return from_official(checkpoint[_KEY], config)


def save_official_predictor(path: Path, state_dict: StateDict, config: PredictorConfig) -> None:
    """Write the state dict of a `Predictor(config)` as an official checkpoint.

    `path` appears whole or not at all. Raises OfficialCheckpointError where the state dict is not one of that
    configuration.
    """
    _ensure_absolute_head(config)
    ensure_same_tensors(state_dict, config)
    partial_path = path.with_name(path.name + ".partial")
    torch.save({_KEY: to_official(state_dict)}, partial_path)
    partial_path.replace(path)


def from_official(official: StateDict, config: PredictorConfig) -> dict[str, torch.Tensor]:
    """Official names to ours, checked against `Predictor(config)`; raises OfficialCheckpointError."""
    state_dict = {str(name).removeprefix(_PREFIX): tensor for name, tensor in official.items()}
    ensure_same_tensors(state_dict, config)
    return state_dict


def to_official(state_dict: StateDict) -> dict[str, torch.Tensor]:
    """Our names to the official ones."""
    return {_PREFIX + name: tensor for name, tensor in state_dict.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_tensor_file(path, mapped=True)
    except TensorFileError as error:
        raise OfficialCheckpointError(f"{path.name} {error}") from error


def _ensure_absolute_head(config: PredictorConfig) -> None:
    if config.head != "absolute":
        raise OfficialCheckpointError(
            f"Official weights predict the latent itself (head 'absolute'); the configuration has head "
            f"'{config.head}', which would add it to the present latent. Use the preset 'vjepa2-ac'."
        )


def ensure_same_tensors(state_dict: StateDict, config: PredictorConfig) -> None:
    """Raise OfficialCheckpointError where a name, a shape or a dtype is not as in `Predictor(config)`."""
    with torch.device("meta"):
        expected = Predictor(config).state_dict()
    differences = list(_differences(state_dict, expected))
    if differences:
        raise OfficialCheckpointError(
            f"{len(differences)} tensors differ from a predictor of this configuration:\n  "
            + _some(differences, "\n  ")
            + "\nUse the preset that this checkpoint was trained with."
        )


def _differences(state_dict: StateDict, expected: StateDict) -> Iterator[str]:
    for name in sorted(expected.keys() - state_dict.keys()):
        yield f"{name}: missing, expected {_describe(expected[name])}"
    for name in sorted(state_dict.keys() - expected.keys()):
        yield f"{name}: unexpected, got {_describe(state_dict[name])}"
    for name in sorted(expected.keys() & state_dict.keys()):
        if _describe(expected[name]) != _describe(state_dict[name]):
            yield f"{name}: expected {_describe(expected[name])}, got {_describe(state_dict[name])}"


def _some(items: Sequence[str], separator: str) -> str:
    """The first of them; a predictor of another size differs in hundreds of tensors."""
    rest = len(items) - _LISTED
    return separator.join([*items[:_LISTED], *([f"and {rest} more"] if rest > 0 else [])])


def _describe(tensor: object) -> str:
    if not isinstance(tensor, torch.Tensor):
        return f"a {type(tensor).__name__}"
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
