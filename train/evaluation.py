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

from train.clips import Clips
from train.device import autocast
from train.held_out import HeldOutClips
from train.objective import rollout
from train.opened_run import OpenedRun
from train.predictor import Predictor
from train.ranks import ALONE, Ranks
from train.run_folder import RunFolder, write_json
from train.view import View

HORIZONS: Final = (1, 2, 4, 8)
CLIP_FRAMES: Final = max(HORIZONS) + 1

COPY_LAST_FRAME: Final = "copy_last_frame"
ZERO_ACTION: Final = "zero_action"
SHUFFLED_ACTION: Final = "shuffled_action"
_L1: Final = "l1"
_SCORED: Final = (_L1, COPY_LAST_FRAME, ZERO_ACTION, SHUFFLED_ACTION)


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


def measure(
    predictor: Predictor,
    clips: HeldOutClips,
    *,
    batch_clips: int,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Errors:
    """Errors over all of `clips`, which are `CLIP_FRAMES` long; every start weighs the same.

    Several processes share the batches and all return the errors over all of them.
    """
    sums = {name: torch.zeros(len(HORIZONS), dtype=torch.float64, device=device) for name in _SCORED}
    with _evaluating(predictor), autocast(device):
        for batch in clips.batches(batch_clips, rank=ranks.rank, world_size=ranks.size):
            for name, errors_BH in open_loop_errors(predictor, batch).items():
                sums[name] += errors_BH.double().sum(dim=0)
    means = {name: tuple((ranks.add_up(total) / len(clips)).tolist()) for name, total in sums.items()}
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

    Raises HeldOutError, and what `OpenedRun.open` raises.
    """
    run = OpenedRun.open(run_path, store_path, store_revision=store_revision, device=device)
    clips = HeldOutClips.of(run.view, CLIP_FRAMES)
    batch_clips = run.checkpoint.recipe["micro_batch_clips"]
    errors = measure(run.predictor, clips, batch_clips=batch_clips, device=run.device)
    return write_evaluation(run.folder, errors, run.view, run.checkpoint.step)


def write_evaluation(folder: RunFolder, errors: Errors, view: View, step: int, **more: Any) -> dict[str, Any]:
    """The errors with what they were measured on, and `more` by name, as written to evaluation.json."""
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
    measured |= more
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


@contextmanager
def _evaluating(predictor: Predictor) -> Iterator[None]:
    predictor.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        predictor.train()
