"""Open-loop error of a predictor on held-out clips, beside what it costs to predict without it.

From one frame the predictor runs on its own predictions, and the states after the first are integrated from
the actions it is given: recorded states would give the true actions away. Error at horizon h is the mean
absolute difference of the predicted and the encoded latent of frame t + h alone.

Legend: B clips, T frames, N tokens per frame, D encoder width, A action size (7), H horizons.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from torch import Tensor

from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.clips import Clips
from train.device import autocast, choose_device
from train.held_out import HeldOutClips
from train.objective import rollout
from train.predictor import Predictor
from train.provenance import ensure_same
from train.revisions import revision_to_train_on, revision_trained_on
from train.run_folder import RunFolder, write_json
from train.trained import trained_predictor
from train.view import View

HORIZONS: Final = (1, 2, 4, 8)
CLIP_FRAMES: Final = max(HORIZONS) + 1

COPY_LAST_FRAME: Final = "copy_last_frame"
ZERO_ACTION: Final = "zero_action"
SHUFFLED_ACTION: Final = "shuffled_action"
_L1: Final = "l1"


class EvaluationError(Exception):
    """evaluation.json of a run is not what `evaluate` writes."""


class _MeasuredOn(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    checkpoint_step: int
    num_starts: int
    num_trajectories: int
    store_uuid: str


class _Evaluation(BaseModel):
    """What is read of evaluation.json, here and by reports; the file holds more."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    horizons: list[int]
    l1: list[float]
    baselines: dict[str, list[float]]
    measured_on: _MeasuredOn

    @model_validator(mode="after")
    def _ensure_one_error_a_horizon(self) -> Self:
        lengths = {len(errors) for errors in (self.l1, *self.baselines.values())}
        if lengths != {len(self.horizons)}:
            raise ValueError(f"{len(self.horizons)} horizons have {sorted(lengths)} errors")
        missing = {COPY_LAST_FRAME, ZERO_ACTION, SHUFFLED_ACTION} - self.baselines.keys()
        if missing:
            raise ValueError(f"there are no errors of {', '.join(sorted(missing))}")
        return self


@dataclass(frozen=True, kw_only=True)
class Errors:
    """L1 at each of `HORIZONS`: of the predictor, of the present frame taken for every later one, and of the
    predictor when it is told that nothing moves or what another held-out clip did.
    """

    l1: tuple[float, ...]
    baselines: dict[str, tuple[float, ...]]
    num_starts: int
    num_trajectories: int

    def to_json(self) -> dict[str, Any]:
        """As logged and printed."""
        return {
            "horizons": list(HORIZONS),
            "l1": list(self.l1),
            "baselines": {name: list(errors) for name, errors in self.baselines.items()},
            "num_starts": self.num_starts,
            "num_trajectories": self.num_trajectories,
        }


def measure(predictor: Predictor, clips: HeldOutClips, *, batch_clips: int, device: torch.device) -> Errors:
    """Errors over all of `clips`, which are `CLIP_FRAMES` long; every start weighs the same."""
    sums: dict[str, Tensor] = {}
    with _evaluating(predictor), autocast(device):
        for batch in clips.batches(batch_clips):
            for name, errors_BH in open_loop_errors(predictor, batch).items():
                sums[name] = sums.get(name, 0.0) + errors_BH.double().sum(dim=0)
    means = {name: tuple((total / len(clips)).tolist()) for name, total in sums.items()}
    return Errors(
        l1=means.pop(_L1), baselines=means, num_starts=len(clips), num_trajectories=clips.num_trajectories
    )


def open_loop_errors(predictor: Predictor, clips: Clips) -> dict[str, Tensor]:
    """Errors (B, H) by name of all clips but the last, which only lends its actions to the one before it."""
    latents_BTND, states_BTA = clips.latents_BTND[:-1], clips.states_BTA[:-1]
    actions_BTA, foreign_BTA = clips.actions_BTA[:-1], clips.actions_BTA[1:]
    first_BND, target_BTND = latents_BTND[:, 0], latents_BTND[:, 1:]
    predictions = {
        _L1: rollout(predictor, first_BND, states_BTA[:, 0], actions_BTA),
        COPY_LAST_FRAME: first_BND.unsqueeze(1).expand_as(target_BTND),
        ZERO_ACTION: rollout(predictor, first_BND, states_BTA[:, 0], torch.zeros_like(actions_BTA)),
        SHUFFLED_ACTION: rollout(predictor, first_BND, states_BTA[:, 0], foreign_BTA),
    }
    scored = [horizon - 1 for horizon in HORIZONS]
    return {
        name: (predicted_BTND[:, scored].float() - target_BTND[:, scored]).abs().mean(dim=(2, 3))
        for name, predicted_BTND in predictions.items()
    }


def evaluate(
    run_path: Path, store_path: Path, *, store_revision: int | None = None, device: str | None = None
) -> dict[str, Any]:
    """Measure the run's last checkpoint on every held-out start and write evaluation.json.

    store_revision: None takes the one trained on, or of another store the last that is sealed. Raises
    RunNotFoundError, CheckpointError, HeldOutError, StoreError, and RunMismatchError where the store was
    encoded otherwise than the one trained on.
    """
    folder = RunFolder(run_path)
    folder.ensure_trained()
    checkpoint, store = Checkpoint.load(folder.checkpoint), Store.open(store_path)
    if store_revision is None:
        store = revision_trained_on(store, checkpoint.trained_on)
    else:
        store = revision_to_train_on(store, store_revision)
    ensure_same_latents(checkpoint, store)
    target = choose_device(device)
    predictor = trained_predictor(checkpoint).to(target)
    view = View.of_store(store, target)
    clips = HeldOutClips.of(view, CLIP_FRAMES)
    errors = measure(predictor, clips, batch_clips=checkpoint.recipe["micro_batch_clips"], device=target)
    return write_evaluation(folder, errors, view, checkpoint.step)


def write_evaluation(folder: RunFolder, errors: Errors, view: View, step: int) -> dict[str, Any]:
    """The errors with what they were measured on, as written to evaluation.json."""
    attributes, fingerprint = view.attributes, view.attributes.fingerprint
    measured = errors.to_json()
    measured["measured_on"] = {
        "checkpoint_step": step,
        "split": "validation",
        "num_trajectories": measured.pop("num_trajectories"),
        "num_starts": measured.pop("num_starts"),
        "store_uuid": attributes.uuid,
        "store_revision": attributes.revision,
        "fingerprint_sha256": fingerprint.sha256(),
        "encoder": fingerprint.encoder.name,
        "clock": fingerprint.clock,
        "frame_rate_hz": fingerprint.frame_rate_hz,
        "crop": fingerprint.preprocessing.crop,
        "store_recipe": attributes.recipe,
    }
    write_json(folder.evaluation, measured)
    return measured


def read_evaluation(folder: RunFolder, *, step: int) -> dict[str, Any] | None:
    """Contents of evaluation.json where it was measured after `step` updates, else None.

    Raises EvaluationError.
    """
    if not folder.evaluation.is_file():
        return None
    try:
        content = folder.evaluation.read_bytes()
        measured = _Evaluation.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the whole file"
        raise EvaluationError(
            f"{folder.evaluation} is not an evaluation: {place}: {problem['msg']}. "
            f"Remove it; `permafrost evaluate {folder.path}` measures again."
        ) from error
    values: dict[str, Any] = json.loads(content)
    return values if measured.measured_on.checkpoint_step == step else None


def ensure_same_latents(checkpoint: Checkpoint, store: Store) -> None:
    """Raise RunMismatchError unless the store was encoded as the one trained on."""
    fingerprint = store.attributes.fingerprint
    found = {
        "encoder": fingerprint.encoder.name,
        "encoder_weights_sha256": fingerprint.encoder.weights_sha256,
        "fingerprint_sha256": fingerprint.sha256(),
    }
    of_run = {name: checkpoint.trained_on.get(name) for name in found}
    ensure_same(
        "store", of_run, found, "Point --store at a store built under the settings of the one trained on."
    )


@contextmanager
def _evaluating(predictor: Predictor) -> Iterator[None]:
    predictor.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        predictor.train()
