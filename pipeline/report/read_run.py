"""What a run folder and the store behind it say, checked against each other.

Legend: S updates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.errors import PipelineError
from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.evaluation import evaluate, read_evaluation
from train.measures.measure_trees import SumsByName
from train.measures.trajectory_sums_file import MeasuredOn, read_trajectory_sums
from train.provenance import ensure_same, fingerprint_of_latents
from train.recipe import TrainRecipe
from train.revisions import revision_trained_on
from train.run_folder import RunFolder

LOSSES: Final = ("teacher_forcing_loss", "rollout_loss")


class BrokenMetricsError(PipelineError):
    """A line of metrics.jsonl is not a measurement."""


class NothingMeasuredError(PipelineError):
    """A run has not made an update yet."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Update(_Line):
    """What update number `step`, counted from 1, measured."""

    kind: Literal["train"]
    step: int = Field(ge=1)
    teacher_forcing_loss: float
    rollout_loss: float
    learning_rate: float


class Validation(_Line):
    """Errors by horizon on held-out starts after `step` updates."""

    kind: Literal["validation"]
    step: int = Field(ge=1)
    horizons: tuple[int, ...]
    l1: tuple[float, ...]
    baselines: dict[str, tuple[float, ...]]
    num_starts: int


_LINE: Final[TypeAdapter[Update | Validation]] = TypeAdapter(
    Annotated[Update | Validation, Field(discriminator="kind")]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCurves:
    """What every update measured.

    step_S: int64, updates counted from 1. losses: float64 (S,) by name. learning_rate_S: float64.
    """

    step_S: NDArray[np.int64]
    losses: dict[str, NDArray[np.float64]]
    learning_rate_S: NDArray[np.float64]

    @classmethod
    def of(cls, updates: Sequence[Update]) -> "TrainingCurves":
        """The columns of a log, in its order."""
        return cls(
            step_S=np.array([u.step for u in updates], dtype=np.int64),
            losses={name: np.array([getattr(u, name) for u in updates]) for name in LOSSES},
            learning_rate_S=np.array([u.learning_rate for u in updates]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """One run and the store that it was trained on.

    evaluation: contents of evaluation.json for this checkpoint and this store. sums: what its measures add
    up to in every trajectory, None where `permafrost evaluate` has not kept them.
    """

    name: str
    store: Store
    checkpoint: Checkpoint
    recipe: TrainRecipe
    curves: TrainingCurves
    validations: tuple[Validation, ...]
    evaluation: dict[str, Any]
    sums: SumsByName | None


def read_run(run_path: Path, store_path: Path, *, device: str | None) -> RunRecord:
    """Read a run, and evaluate its checkpoint where evaluation.json is missing or of something else.

    Raises RunNotFoundError, CheckpointError, RunMismatchError where the run was trained on another store,
    RecipeError, BrokenMetricsError, NothingMeasuredError, StoreError, HeldOutError, DeviceError.
    """
    folder = RunFolder(run_path)
    folder.ensure_trained()
    checkpoint = Checkpoint.load(folder.checkpoint)
    store = revision_trained_on(Store.open(store_path), checkpoint.trained_on)
    _ensure_trained_on(checkpoint, store)
    lines = list(read_lines(folder.metrics))
    updates = [line for line in lines if isinstance(line, Update) and line.step <= checkpoint.step]
    if not updates:
        raise NothingMeasuredError(f"{run_path} holds no update yet; `permafrost train` goes on with it.")
    evaluation = _evaluation_on(store, folder, checkpoint.step) or evaluate(
        run_path, store_path, device=device
    )
    return RunRecord(
        name=run_path.resolve().name,
        store=store,
        checkpoint=checkpoint,
        recipe=TrainRecipe.from_json(checkpoint.recipe),
        curves=TrainingCurves.of(updates),
        validations=tuple(v for v in lines if isinstance(v, Validation) and v.step <= checkpoint.step),
        evaluation=evaluation,
        sums=read_trajectory_sums(folder.trajectory_sums, MeasuredOn.of(evaluation)),
    )


def read_lines(path: Path) -> Iterator[Update | Validation]:
    """Measurements in order; a last line that a killed run left unfinished is none.

    Raises BrokenMetricsError with the number of the line, counted from 1.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    complete, _, _ = text.rpartition("\n")
    for number, line in enumerate(complete.split("\n") if complete else (), start=1):
        try:
            yield _LINE.validate_json(line)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "the whole line"
            raise BrokenMetricsError(
                f"Line {number} of {path.name} is not a measurement: {place}: {problem['msg']}. "
                "Mend or remove that line; the checkpoint does not depend on it."
            ) from error


def _ensure_trained_on(checkpoint: Checkpoint, store: Store) -> None:
    fingerprint = store.attributes.fingerprint
    found = {
        "store_uuid": store.attributes.uuid,
        "fingerprint_sha256": fingerprint_of_latents(fingerprint, checkpoint.trained_on.get("latents")),
        "encoder": fingerprint.encoder.name,
    }
    of_run = {name: checkpoint.trained_on.get(name) for name in found}
    ensure_same("store", of_run, found, "Point --store at the store that the run was trained on.")


def _evaluation_on(store: Store, folder: RunFolder, step: int) -> dict[str, Any] | None:
    measured = read_evaluation(folder, step=step)
    same_store = measured is not None and measured["measured_on"]["store_uuid"] == store.attributes.uuid
    return measured if same_store else None
