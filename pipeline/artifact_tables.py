"""The measures of runs as tables of the Prefect UI: a list of rows, each a cell by the name of its column.

No column is named by a number alone: browsers would put it first.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.assessment_table import side_by_side
from pipeline.run_differences import measured_columns
from train.evaluation import COPY_LAST_FRAME

Row = dict[str, str]


def horizon_rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """L1 by horizon of the predictor, and of its baselines with its ratio to each."""
    ours = evaluation["l1"]
    rows = [_by_horizon("predictor", evaluation, [f"{error:.4f}" for error in ours])]
    for name, errors in evaluation["baselines"].items():
        cells = [f"{error:.4f} ({own / error:.3f})" for own, error in zip(ours, errors, strict=True)]
        rows.append(_by_horizon(name.replace("_", " "), evaluation, cells))
    return rows


def validation_row(line: Mapping[str, Any]) -> Row:
    """One line of metrics.jsonl: L1 by horizon, and its ratio to copying the last frame."""
    errors = zip(line["l1"], line["baselines"][COPY_LAST_FRAME], strict=True)
    cells = [f"{own:.4f} ({own / copied:.3f})" for own, copied in errors]
    return {"after update": f"{line['step']:,}", **_cells(line, cells)}


def assessment_rows(measured: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All measures of several runs, a column a run and a difference; what one of them lacks is left empty."""
    columns = measured_columns(measured)
    return [
        {"measure": name.strip(), **dict(zip(columns, cells, strict=True)), "of": section}
        for section, rows in side_by_side(columns).items()
        for name, cells in rows.items()
    ]


def _by_horizon(name: str, evaluation: Mapping[str, Any], cells: list[str]) -> Row:
    return {"L1": name, **_cells(evaluation, cells)}


def _cells(measured: Mapping[str, Any], cells: list[str]) -> Row:
    return {f"{horizon} ahead": cell for horizon, cell in zip(measured["horizons"], cells, strict=True)}
