"""The loop: updates in order, with validation, checkpoints and a stop request between them.

It knows neither store nor predictor: any source of batches goes with any named losses over them. Every
process of a run goes through its own loop, and all do the same updates.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import nn

from train.clips import BatchSource, BatchStream
from train.metrics import Log
from train.ranks import ALONE, Ranks
from train.recipe import TrainRecipe
from train.schedule import Phase
from train.share import share_of
from train.signals import StopRequest
from train.update import NamedLosses, UpdateResult, update

BatchT = TypeVar("BatchT")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What `on_progress` is told after every update: `step` of `total_steps` are done.

    clips_per_second: of all processes. data_wait_share: of the process that waited longest.
    """

    step: int
    total_steps: int
    losses: dict[str, float]
    learning_rate: float
    phase: Phase
    clips_per_second: float
    data_wait_share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop(Generic[BatchT]):
    """One run's updates. `validate` and `save` are told how many updates have been done."""

    recipe: TrainRecipe
    model: nn.Module
    optimiser: torch.optim.Optimizer
    source: BatchSource[BatchT]
    losses_of: NamedLosses[BatchT]
    log: Log
    validate: Callable[[int], None]
    save: Callable[[int], None]
    on_progress: Callable[[Progress], None]
    ranks: Ranks = ALONE

    def run(self, first_step: int, stop: StopRequest) -> int:
        """Do the updates from `first_step` to the last, or until asked to stop; how many are done then.

        A checkpoint precedes the validation of its step, so a resumed run begins with the latter. Whichever
        process is asked to stop, all stop after the same update. Raises NonFiniteLossError, and what
        the source raises.
        """
        step, saved_step = first_step, first_step
        with self.source.stream(first_step) as stream:
            while not self.ranks.maximum(stop.requested):
                if step > 0 and self._is_due(step, self.recipe.validate_every):
                    self.validate(step)
                if step == self.recipe.steps:
                    break
                self._update(stream, step)
                step += 1
                if self._is_due(step, self.recipe.checkpoint_every):
                    self.save(step)
                    saved_step = step
        if saved_step != step:
            self.save(step)
        return step

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.recipe.steps

    def _update(self, stream: BatchStream[BatchT], step: int) -> None:
        started, waited_before = time.perf_counter(), stream.waited_seconds
        result = update(
            self.model,
            self.optimiser,
            self.losses_of,
            stream,
            micro_batches=share_of(self.recipe, self.ranks.size).micro_batches,
            step=step,
            learning_rate=self.recipe.schedule.learning_rate(step),
            ranks=self.ranks,
        )
        seconds = time.perf_counter() - started
        waited_seconds = self.ranks.maximum(stream.waited_seconds - waited_before)
        self._report(step, result, seconds, waited_seconds=waited_seconds)

    def _report(self, step: int, result: UpdateResult, seconds: float, *, waited_seconds: float) -> None:
        schedule = self.recipe.schedule
        progress = Progress(
            step=step + 1,
            total_steps=self.recipe.steps,
            losses=result.losses,
            learning_rate=schedule.learning_rate(step),
            phase=schedule.phase(step),
            clips_per_second=self.recipe.batch_clips / seconds,
            data_wait_share=waited_seconds / seconds,
        )
        self.log.train(progress.step, {
            **result.losses,
            "learning_rate": progress.learning_rate,
            "phase": progress.phase,
            "gradient_norm": result.gradient_norm,
            "data_wait_share": progress.data_wait_share,
            "clips_per_second": progress.clips_per_second,
        })  # fmt: skip
        self.on_progress(progress)
