"""`evaluate`: runs measured in every way, side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.run_differences import DIFFERENCE, MeasuredRun, differences_to_first, ensure_comparable
from pipeline.steps.requests import EvaluateRequest
from train.measures.assess_run import assess_run
from train.planning.search import Cem
from train.run_folder import RunFolder


def evaluate(
    request: EvaluateRequest, on_run: Callable[[Path], None] = lambda _run: None
) -> dict[str, dict[str, Any]]:
    """Contents of each run's evaluation.json by the run's path; `on_run` is told before each.

    A run on the same store as the first has its differences to that under 'difference_to_first' as well.

    Raises RunNotFoundError, OptionError where a run is named twice, and what
    `train.measures.assess_run.assess_run` does.
    """
    ensure_comparable(request.runs)
    measured = {}
    for run in request.runs:
        on_run(run)
        measured[str(run)] = assess_run(
            run,
            request.store or RunFolder(run).remembered_store(),
            search=Cem(samples=request.samples, rounds=request.rounds),
            num_starts=request.starts,
            store_revision=request.store_revision,
            device=request.device,
        )
    return _with_differences(measured)


def _with_differences(measured: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    runs = {run: MeasuredRun.of(RunFolder(Path(run)), of_run) for run, of_run in measured.items()}
    found = differences_to_first(runs)
    return measured | {run: {**measured[run], DIFFERENCE: tree} for run, tree in found.items()}
