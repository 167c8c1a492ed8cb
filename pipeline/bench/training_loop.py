"""A few updates of the real training loop on the store, with neither log nor checkpoint."""

from dataclasses import replace

import torch

from featurize.estimate import counted
from pipeline.bench.predictor_step import PredictorStep
from pipeline.bench.rows import Row
from train.assembly import drawn_clips, named_losses, predictor_config
from train.compiling import compile_for_training
from train.loop import Loop, Progress
from train.metrics import NoLog
from train.optimiser import build_adamw
from train.predictor import Predictor
from train.recipe import TrainRecipe
from train.signals import StopRequest
from train.view import View


def data_wait_row(
    recipe: TrainRecipe, view: View, device: torch.device, seconds: float, step: PredictorStep
) -> Row:
    """Share of the time of updates of one pass that the loop stands still for its clips.

    The first update is not counted: it compiles, and finds nothing read ahead.
    """
    short = replace(recipe, batch_clips=step.num_clips, micro_batch_clips=step.num_clips)
    updates = _Updates(seconds=seconds)
    predictor = Predictor(predictor_config(short, view), seed=short.seed).to(device)
    predictor.checkpointed_blocks = step.checkpointed_blocks
    compile_for_training(predictor, device)
    loop = Loop(
        recipe=short,
        model=predictor,
        optimiser=build_adamw(predictor, short.weight_decay),
        source=drawn_clips(short, view),
        losses_of=named_losses(short, predictor, device),
        log=NoLog(),
        validate=lambda _step: None,
        save=lambda _step: None,
        on_progress=lambda progress: updates.add(progress, short.batch_clips),
    )
    loop.run(0, updates.stop)
    done = f"{counted(updates.done - 1, 'update')} of {counted(step.num_clips, 'clip')}"
    return Row.measured(
        "data wait in training",
        updates.waited_seconds / updates.counted_seconds,
        "share",
        note=f"{done}; 0 is the best, 1 % the aim",
    )


class _Updates:
    """Adds up the updates after the first, and asks the loop to stop when the time is over."""

    def __init__(self, *, seconds: float) -> None:
        self.stop, self.seconds = StopRequest(), seconds
        self.done, self.waited_seconds, self.counted_seconds = 0, 0.0, 0.0

    def add(self, progress: Progress, batch_clips: int) -> None:
        """An update of this many clips has been done."""
        self.done += 1
        if self.done > 1:
            seconds = batch_clips / progress.clips_per_second
            self.counted_seconds += seconds
            self.waited_seconds += seconds * progress.data_wait_share
            self.stop.requested = self.counted_seconds >= self.seconds
