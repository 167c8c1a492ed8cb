"""One file that continues a run bit for bit, and that others can read without running any code in it."""

import os
import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from store_schema.atomic import PARTIAL_SUFFIX, sync_folder

CHECKPOINT_FORMAT: Final = 1
FORMAT_KEY: Final = "permafrost_checkpoint"


class CheckpointError(Exception):
    """A file is not a checkpoint that this version can read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """The state after `step` updates.

    model, optimiser: state dicts. recipe, trained_on, predictor: what `TrainRecipe`, `TrainedOn` and
    `PredictorConfig` hold, as plain values. Nothing in a step draws from torch's generators, so none is kept.
    """

    step: int
    model: dict[str, torch.Tensor]
    optimiser: dict[str, Any]
    recipe: dict[str, Any]
    predictor: dict[str, Any]
    trained_on: dict[str, Any]
    code_version: str

    def save(self, path: Path) -> None:
        """Write atomically: at any moment `path` is the old checkpoint, or none, or this one."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        with partial.open("wb") as file:
            torch.save({FORMAT_KEY: CHECKPOINT_FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read onto the CPU. Raises CheckpointError."""
        content = read_tensors(path)
        if content.pop(FORMAT_KEY, None) != CHECKPOINT_FORMAT:
            raise CheckpointError(
                f"{path.name} is not a Permafrost checkpoint of format {CHECKPOINT_FORMAT}."
            )
        expected = {field.name for field in fields(cls)}
        if content.keys() != expected:
            raise CheckpointError(f"{path.name} holds {sorted(content)}; expected {sorted(expected)}.")
        return cls(**content)


def read_tensors(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """A file of torch.save as a mapping, nothing in it executed; `mapped` leaves tensors on disk until used.

    Raises CheckpointError.
    """
    try:
        content = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path.name} cannot be read as tensors and plain values: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}; a checkpoint is a mapping.")
    return content
