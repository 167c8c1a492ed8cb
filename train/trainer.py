"""`train`: a recipe and a store in, a run folder out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from store_schema.store import Store
from train.assembly import drawn_clips, named_losses, predictor_config, window_sampler
from train.clips import Clips
from train.device import choose_device
from train.evaluation import CLIP_FRAMES, measure, read_evaluation, write_evaluation
from train.held_out import HeldOutClips
from train.initial_weights import file_sha256
from train.loop import Loop, Progress
from train.metrics import MetricsLog, open_log
from train.optimiser import build_adamw
from train.predictor import Predictor
from train.provenance import TrainedOn
from train.recipe import TrainRecipe
from train.revisions import revision_to_train_on, revision_trained_on, trained_on_of
from train.run_folder import RunFolder
from train.run_state import RunState
from train.signals import stop_on_signal
from train.view import View


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Where a call of `train` ended; evaluation.json's contents, or None where the run was stopped."""

    run_path: Path
    step: int
    total_steps: int
    evaluation: dict[str, Any] | None

    @property
    def outcome(self) -> str:
        """One sentence for people: finished, or how to go on."""
        if self.evaluation is not None:
            return f"Finished all {self.total_steps} steps; the results are in {self.run_path}."
        return (
            f"Stopped after step {self.step} of {self.total_steps} and saved a checkpoint in "
            f"{self.run_path}; the same command continues from there."
        )


def train(
    recipe: TrainRecipe,
    store_path: Path,
    run_path: Path,
    *,
    store_revision: int | None = None,
    init: Path | None = None,
    device: str | None = None,
    view_of: Callable[[Store, torch.device], View] = View.of_store,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> TrainResult:
    """Train to the recipe's last step, evaluate, and leave everything in `run_path`; resumes by itself.

    store_revision: None takes the one that the run was begun on, or for a new run the last that is sealed.
    init: an official predictor or a checkpoint of ours to start from. device: 'cpu', 'cuda', or None to
    choose. view_of: what the run sees of the store and how its clips come; by default from its slots.
    SIGTERM and SIGINT save and return. Raises RunMismatchError where the folder holds another run,
    NonFiniteLossError, HeldOutError, SubsetError, PresetShapeError, DeviceError, StoreError and what reading
    `init` raises.
    """
    recipe = replace(recipe, init_sha256=None if init is None else file_sha256(init))
    folder, target = RunFolder(run_path), choose_device(device)
    view = view_of(_open_store(store_path, folder, store_revision), target)
    held_out = HeldOutClips.of(view, CLIP_FRAMES)
    state = _prepare(recipe, view, folder, target)
    with folder.hold():
        first_step = state.begin_or_resume(init)
        evaluation = read_evaluation(state.folder, step=recipe.steps)
        if evaluation is not None:
            return TrainResult(
                run_path=run_path, step=recipe.steps, total_steps=recipe.steps, evaluation=evaluation
            )
        state.folder.remember_store(store_path)
        with open_log(state.folder, first_step) as log, stop_on_signal() as stop:
            step = _loop(state, held_out, target, log, on_progress).run(first_step, stop)
        evaluation = read_evaluation(state.folder, step=recipe.steps)
    return TrainResult(run_path=run_path, step=step, total_steps=recipe.steps, evaluation=evaluation)


def _open_store(path: Path, folder: RunFolder, revision: int | None) -> Store:
    store = Store.open(path)
    if revision is None and folder.checkpoint.is_file():
        return revision_trained_on(store, trained_on_of(folder.checkpoint))
    return revision_to_train_on(store, revision)


def _prepare(recipe: TrainRecipe, view: View, folder: RunFolder, device: torch.device) -> RunState:
    predictor = Predictor(predictor_config(recipe, view), seed=recipe.seed).to(device)
    return RunState(
        recipe=recipe,
        trained_on=TrainedOn.of(view, window_sampler(recipe, view)),
        folder=folder,
        predictor=predictor,
        optimiser=build_adamw(predictor, recipe.weight_decay),
    )


def _loop(
    state: RunState,
    held_out: HeldOutClips,
    device: torch.device,
    log: MetricsLog,
    on_progress: Callable[[Progress], None],
) -> Loop[Clips]:
    def save(step: int) -> None:
        log.sync()
        state.save(step)

    return Loop(
        recipe=state.recipe,
        model=state.predictor,
        optimiser=state.optimiser,
        source=drawn_clips(state.recipe, held_out.view),
        losses_of=named_losses(state.recipe, state.predictor, device),
        log=log,
        validate=lambda step: _validate(step, state, held_out, device, log),
        save=save,
        on_progress=on_progress,
    )


def _validate(
    step: int, state: RunState, held_out: HeldOutClips, device: torch.device, log: MetricsLog
) -> None:
    recipe, is_last = state.recipe, step == state.recipe.steps
    clips = held_out if is_last else held_out.first(recipe.validation_starts)
    errors = measure(state.predictor, clips, batch_clips=recipe.micro_batch_clips, device=device)
    log.validation(step, errors.to_json())
    if is_last:
        log.sync()
        write_evaluation(state.folder, errors, held_out.view, step)
