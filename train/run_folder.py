"""runs/NAME: where everything about one run lies."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store_schema.atomic import write_atomically
from store_schema.locks import hold
from store_schema.remote_files import address_of, folder_of


class RunNotFoundError(Exception):
    """There is no run at the path given."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. recipe.json is there from the start, evaluation.json from the end."""

    path: Path

    @property
    def recipe(self) -> Path:
        """Resolved recipe, predictor, data and code version, as JSON."""
        return self.path / "recipe.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: what was measured, in order of the steps."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """Errors by horizon over all held-out starts, as JSON."""
        return self.path / "evaluation.json"

    @property
    def trajectory_sums(self) -> Path:
        """What each measure of `permafrost evaluate` adds up to in every trajectory, as Parquet."""
        return self.path / "trajectory_sums.parquet"

    @property
    def checkpoint(self) -> Path:
        """All that continuing the run needs, as `train.checkpoint` writes it."""
        return self.path / "checkpoint.pt"

    @property
    def tensorboard(self) -> Path:
        """The metrics once more, for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def store_pointer(self) -> Path:
        """Where the store lay, here or on object storage; beside the checkpoint, which names no place."""
        return self.path / "store_path.txt"

    def hold(self) -> AbstractContextManager[None]:
        """Keep other processes from training the same run meanwhile. Raises StoreHeldError where one does."""
        return hold(
            self.path,
            what=f"Run {self.path.name} is being trained",
            remedy="Wait for it, stop it, or give this run another name.",
        )

    def remember_store(self, store_path: Path) -> None:
        """Let later commands find the store without being told: a folder, or an address on object storage."""
        place = address_of(store_path) or store_path.absolute()
        write_atomically(self.store_pointer, f"{place}\n".encode())

    def remembered_store(self) -> Path:
        """The store that the run was last trained on; raises RunNotFoundError, and what `folder_of` does."""
        if not self.recipe.is_file():
            raise RunNotFoundError(f"There is no run in {self.path}; `permafrost train` makes one.")
        if not self.store_pointer.is_file():
            raise RunNotFoundError(f"{self.path} does not say where its store lies; give it with --store.")
        return folder_of(self.store_pointer.read_text().strip())

    def ensure_trained(self) -> None:
        """Raise RunNotFoundError unless there is a checkpoint."""
        if not self.checkpoint.is_file():
            raise RunNotFoundError(f"There is no checkpoint in {self.path}; `permafrost train` writes one.")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write readable JSON atomically; NaN and infinity are refused."""
    write_atomically(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())
