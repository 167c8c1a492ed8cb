"""A run's evaluation.json with everything that the store can say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from train.assembly import UnsealedStoreError
from train.evaluation import write_evaluation
from train.measures.assessment import Assessment
from train.measures.measure_trees import as_json, by_name
from train.measures.trajectory_sums_file import MeasuredOn, write_trajectory_sums
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
    """Measure the run's last checkpoint in every way and write evaluation.json, the rest under 'assessment';
    trajectory_sums.parquet is what runs are compared by.

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
    measures = assessment.measures()
    measured_on = MeasuredOn(checkpoint_step=run.checkpoint.step, store_uuid=run.view.attributes.uuid)
    write_trajectory_sums(run.folder.trajectory_sums, by_name(measures), measured_on)
    return write_evaluation(
        run.folder, assessment.errors(), run.view, run.checkpoint.step, assessment=as_json(measures)
    )
