"""A run's evaluation.json with everything that the store can say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from train.assembly import UnsealedStoreError
from train.evaluation import write_evaluation
from train.measures.assessment import Assessment
from train.opened_run import OpenedRun
from train.planning.search import Search


def assess_run(
    run_path: Path,
    store_path: Path,
    *,
    search: Search,
    num_starts: int,
    store_revision: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure the run's last checkpoint in every way and write evaluation.json, the rest under 'assessment'.

    Raises UnsealedStoreError for a store without statistics, LeakError, HeldOutError, SubsetError, and what
    `OpenedRun.open` raises.
    """
    run = OpenedRun.open(run_path, store_path, store_revision=store_revision, device=device)
    if run.view.action_statistics is None:
        raise UnsealedStoreError(
            f"Store {run.view.name} is not sealed and lacks the statistics that bound actions. "
            "Finish it with `permafrost featurize` first."
        )
    assessment = Assessment(
        predictor=run.predictor, view=run.view, device=run.device, num_starts=num_starts, search=search
    )
    assessment.ensure_no_leak()
    errors, more = assessment.errors(), assessment.to_json()
    return write_evaluation(run.folder, errors, run.view, run.checkpoint.step, assessment=more)
