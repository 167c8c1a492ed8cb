"""One file that continues a run bit for bit, and that others can read without running any code in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from store_schema.atomic import PARTIAL_SUFFIX, renamed_when_whole
from store_schema.tensor_file import TensorFileError, read_tensor_file

CHECKPOINT_FORMAT: Final = 2
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
    library_versions: dict[str, str]

    def save(self, path: Path) -> None:
        """Write atomically: at any moment `path` is the old checkpoint, or none, or this one.

        Raises OSError that names the file, on a full disk with the bytes that are free.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        with renamed_when_whole(partial, path) as file, _torch_says_why():
            torch.save({FORMAT_KEY: CHECKPOINT_FORMAT, **content}, file)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read onto the CPU. Raises CheckpointError."""
        content = read_tensors(path)
        found = content.pop(FORMAT_KEY, None)
        if found != CHECKPOINT_FORMAT:
            raise CheckpointError(
                f"{path.name} is not a Permafrost checkpoint of format {CHECKPOINT_FORMAT}, but of {found}. "
                "Train the run anew, or read it with the version that wrote it."
            )
        expected = {field.name for field in fields(cls)}
        if content.keys() != expected:
            raise CheckpointError(
                f"{path.name} holds {sorted(map(str, content))}; expected {sorted(expected)}."
            )
        _ensure_types(path, content)
        return cls(**content)


def read_tensors(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """A file of torch.save as a mapping, nothing in it executed; `mapped` leaves tensors on disk until used.

    Raises CheckpointError.
    """
    try:
        return read_tensor_file(path, mapped=mapped)
    except TensorFileError as error:
        raise CheckpointError(f"{path.name} {error}") from error


def _ensure_types(path: Path, content: dict[str, Any]) -> None:
    kinds = {"step": int, "code_version": str}
    for name, value in content.items():
        kind = kinds.get(name, dict)
        if not isinstance(value, kind):
            raise CheckpointError(
                f"{path.name} holds a {type(value).__name__} as '{name}'; expected {kind.__name__}."
            )


@contextmanager
def _torch_says_why() -> Iterator[None]:
    """Raise the file's own error, which torch.save hides behind an internal check ("unexpected pos")."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
