"""Runs against the first of them, on the same held-out starts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.assessment_table import columns_of
from pipeline.errors import OptionError
from train.measures.measure_trees import SumsByName, differences
from train.measures.trajectory_sums_file import MeasuredOn, read_trajectory_sums
from train.run_folder import RunFolder

DIFFERENCE: Final = "difference_to_first"
"""Beside a run's evaluation, where it was measured together with others."""


def ensure_comparable(runs: Sequence[Path]) -> None:
    """Before the first is measured, which takes minutes.

    Raises RunNotFoundError where one has no checkpoint, OptionError where one is named twice.
    """
    for run in runs:
        RunFolder(run).ensure_trained()
    folder, times = Counter(run.resolve() for run in runs).most_common(1)[0]
    if times > 1:
        raise OptionError(
            f"Run {folder} is named {times} times; a run is compared with others than itself. "
            "Leave it out of --against."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRun:
    """Contents of evaluation.json, and what trajectory_sums.parquet has of the same measurement."""

    evaluation: Mapping[str, Any]
    sums: SumsByName | None

    @classmethod
    def of(cls, folder: RunFolder, evaluation: Mapping[str, Any]) -> "MeasuredRun":
        """Raises EvaluationError where trajectory_sums.parquet is broken."""
        sums = read_trajectory_sums(folder.trajectory_sums, MeasuredOn.of(evaluation))
        return cls(evaluation=evaluation, sums=sums)

    def minus(self, first: "MeasuredRun") -> Any:
        """The tree of differences; None where there is nothing to subtract, or from another store."""
        stores = {MeasuredOn.of(run.evaluation).store_uuid for run in (self, first)}
        if self.sums is None or first.sums is None or len(stores) > 1:
            return None
        return differences(self.evaluation["assessment"], self.sums, first.sums)


def differences_to_first(runs: Mapping[str, MeasuredRun]) -> dict[str, Any]:
    """By the name of each run but the first; of those that have any."""
    first, *others = runs.values()
    found = zip(list(runs)[1:], (run.minus(first) for run in others), strict=True)
    return {name: tree for name, tree in found if tree is not None}


def measured_columns(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of what `pipeline.steps.evaluate` gives: a column a run, then one a difference."""
    return columns_of(
        {run: of_run["assessment"] for run, of_run in measured.items()},
        {run: of_run[DIFFERENCE] for run, of_run in measured.items() if DIFFERENCE in of_run},
    )
