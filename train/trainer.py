"""`train`: a recipe and a store in, a run folder out, by one process or by all that torchrun started."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from store_schema.store import Store
from train.assembly import drawn_clips, predictor_config, window_sampler
from train.clips import Clips
from train.compiling import compile_for_training
from train.device import free_bytes
from train.evaluation import CLIP_FRAMES, measure, read_evaluation, write_evaluation
from train.held_out import HeldOutClips
from train.initial_weights import file_sha256
from train.launch import ranks_of_torchrun
from train.loop import Loop, Progress
from train.memory_budget import fit_update
from train.metrics import Log, NoLog, open_log
from train.optimiser import build_adamw
from train.predictor import Predictor
from train.provenance import TrainedOn, ensure_same
from train.ranks import Ranks
from train.recipe import TrainRecipe
from train.replicas import replicated_losses
from train.revisions import revision_to_train_on, revision_trained_on, trained_on_of
from train.run_folder import RunFolder
from train.run_state import RunState, with_micro_batch_of_run
from train.share import share_of
from train.shared_optimiser import share_optimiser
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
    micro_batch_clips: int | None = None,
    memory_budget_bytes: int | None = None,
    view_of: Callable[[Store, torch.device], View] = View.of_store,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> TrainResult:
    """Train to the recipe's last step, evaluate, and leave everything in `run_path`; resumes by itself.

    store_revision: None takes the one that the run was begun on, or for a new run the last that is sealed.
    init: an official predictor or a checkpoint of ours to start from. device: 'cpu', 'cuda', or None to
    choose. micro_batch_clips: instead of the recipe's; None keeps that of a run that is resumed, and else
    lets the memory decide. memory_budget_bytes: of one device; None takes what is free on a GPU, and
    anything on a CPU. view_of: what the run sees of the store and how its clips come; by default from its
    slots.

    The processes that torchrun starts all call this alike and return alike; the first one alone touches
    `run_path` and calls `on_progress`. SIGTERM and SIGINT, to any of them, save and return.

    Raises RunMismatchError where the folder holds another run, NonFiniteLossError, HeldOutError, SubsetError,
    PresetShapeError, DeviceError, StoreError and what reading `init` raises; with several processes also
    LaunchError, ShareError, OtherProcessError and LostProcessError. MemoryBudgetError where an update
    does not fit.
    """
    folder = RunFolder(run_path)
    with ranks_of_torchrun(device) as ranks, ExitStack() as held:
        asked = ranks.on_first(lambda: _asked(recipe, folder, init, micro_batch_clips, ranks.device))
        with ranks.together():
            view = view_of(_open_store(store_path, asked, store_revision), ranks.device)
            held_out = HeldOutClips.of(view, CLIP_FRAMES)
            state = _prepare(asked, view, folder, ranks, memory_budget_bytes)
        _ensure_same_data(state.trained_on, ranks)

        def begin() -> tuple[int, dict[str, Any] | None]:
            held.enter_context(folder.hold())
            return state.begin_or_resume(init), read_evaluation(folder, step=recipe.steps)

        step, evaluation = ranks.on_first(begin)
        if evaluation is None:
            step = _train(state, held_out, ranks, on_progress, first_step=step, store_path=store_path)
            evaluation = ranks.on_first(lambda: read_evaluation(folder, step=recipe.steps))
    return TrainResult(run_path=run_path, step=step, total_steps=recipe.steps, evaluation=evaluation)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the first process makes of the call, of the run's folder and of its device.

    trained_on is None for a new run; free_bytes on a CPU. fixed: the micro-batch is the user's or the run's.
    """

    recipe: TrainRecipe
    trained_on: Mapping[str, Any] | None
    fixed: bool
    free_bytes: int | None


def _asked(
    recipe: TrainRecipe,
    folder: RunFolder,
    init: Path | None,
    micro_batch_clips: int | None,
    device: torch.device,
) -> _Asked:
    has_begun = folder.checkpoint.is_file()
    if micro_batch_clips is None:
        recipe = with_micro_batch_of_run(recipe, folder)
    else:
        recipe = replace(recipe, micro_batch_clips=micro_batch_clips)
    return _Asked(
        recipe=replace(recipe, init_sha256=None if init is None else file_sha256(init)),
        trained_on=trained_on_of(folder.checkpoint) if has_begun else None,
        fixed=has_begun or micro_batch_clips is not None,
        free_bytes=free_bytes(device),
    )


def _open_store(path: Path, asked: _Asked, revision: int | None) -> Store:
    store = Store.open(path)
    if revision is None and asked.trained_on is not None:
        return revision_trained_on(store, asked.trained_on)
    return revision_to_train_on(store, revision)


def _prepare(
    asked: _Asked, view: View, folder: RunFolder, ranks: Ranks, memory_budget_bytes: int | None
) -> RunState:
    recipe, config = asked.recipe, predictor_config(asked.recipe, view)
    plan = fit_update(
        recipe,
        config,
        ranks.device,
        share_clips=share_of(recipe, ranks.size).clips,
        budget_bytes=memory_budget_bytes,
        available_bytes=asked.free_bytes,
        fixed=asked.fixed,
    )
    if not asked.fixed:
        recipe = replace(recipe, micro_batch_clips=plan.micro_batch_clips)
    predictor = Predictor(config, seed=recipe.seed).to(ranks.device)
    predictor.checkpointed_blocks = plan.checkpointed_blocks
    compile_for_training(predictor, ranks.device)
    return RunState(
        recipe=recipe,
        trained_on=TrainedOn.of(view, window_sampler(recipe, view)),
        folder=folder,
        predictor=predictor,
        optimiser=build_adamw(predictor, recipe.weight_decay),
    )


def _ensure_same_data(trained_on: TrainedOn, ranks: Ranks) -> None:
    """Machines may each have their own copy of a store."""
    of_first, own = ranks.from_first(asdict(trained_on)), asdict(trained_on)
    with ranks.together():
        ensure_same("data", of_first, own, "Give every process the same store, whole and sealed.")


def _train(
    state: RunState,
    held_out: HeldOutClips,
    ranks: Ranks,
    on_progress: Callable[[Progress], None],
    *,
    first_step: int,
    store_path: Path,
) -> int:
    """How many updates are done in the end."""
    log: Log = NoLog()
    share_optimiser(state.optimiser, ranks)
    with ExitStack() as opened:
        with ranks.together():
            if ranks.is_first:
                state.folder.remember_store(store_path)
                log = opened.enter_context(open_log(state.folder, first_step))
        stop = opened.enter_context(stop_on_signal())
        return _loop(state, held_out, ranks, log, on_progress).run(first_step, stop)


def _loop(
    state: RunState,
    held_out: HeldOutClips,
    ranks: Ranks,
    log: Log,
    on_progress: Callable[[Progress], None],
) -> Loop[Clips]:
    def save(step: int) -> None:
        with ranks.together():
            if ranks.is_first:
                log.sync()
                state.save(step)

    return Loop(
        recipe=state.recipe,
        model=state.predictor,
        optimiser=state.optimiser,
        source=drawn_clips(state.recipe, held_out.view, ranks),
        losses_of=replicated_losses(state.recipe, state.predictor, ranks),
        log=log,
        validate=lambda step: _validate(step, state, held_out, ranks, log),
        save=save,
        on_progress=on_progress if ranks.is_first else lambda _progress: None,
        ranks=ranks,
    )


def _validate(step: int, state: RunState, held_out: HeldOutClips, ranks: Ranks, log: Log) -> None:
    recipe, is_last = state.recipe, step == state.recipe.steps
    clips = held_out if is_last else held_out.first(recipe.validation_starts)
    errors = measure(
        state.predictor, clips, batch_clips=recipe.micro_batch_clips, device=ranks.device, ranks=ranks
    )
    with ranks.together():
        if ranks.is_first:
            log.validation(step, errors.to_json())
            if is_last:
                log.sync()
                write_evaluation(state.folder, errors, held_out.view, step)
