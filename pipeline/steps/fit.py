"""`fit`: the training itself."""

from collections.abc import Callable

from pipeline.progress_bar import progress_bar
from pipeline.steps.requests import FitRequest
from train.launch import is_first_process
from train.loop import Progress
from train.trainer import TrainResult, train


def fit(request: FitRequest, on_progress: Callable[[Progress], None] = lambda _progress: None) -> TrainResult:
    """Train, with a bar in the terminal of the first process.

    Plans the store of an online run where it is not planned yet. Raises what `train.trainer.train` does, and
    OptionError.
    """
    view_of = request.online.view_of(request.store, preset=request.recipe.preset, device=request.device)
    with progress_bar("train", "steps", quiet=not is_first_process()) as draw:

        def report(progress: Progress) -> None:
            draw(progress.step, progress.total_steps)
            on_progress(progress)

        return train(
            request.recipe,
            request.store,
            request.run,
            store_revision=request.store_revision,
            init=request.init,
            device=request.device,
            micro_batch_clips=request.micro_batch_clips,
            memory_budget_bytes=request.memory_budget_bytes,
            view_of=view_of,
            on_progress=report,
        )
