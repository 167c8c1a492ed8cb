"""trajectory_sums.parquet of a run: one row for each measure of `evaluate` in each held-out trajectory.

A mean over starts is the sum of `value` over the sum of `weight`; so is a ratio, whose weights are the sums
of what it is a ratio to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from store_schema.errors import SchemaError
from store_schema.tables import read_parquet, write_parquet
from train.evaluation import EvaluationError
from train.measures.intervals import TrajectorySums
from train.measures.measure_trees import SumsByName

SCHEMA: Final = pa.schema([
    pa.field("measure", pa.string(), nullable=False),
    pa.field("trajectory", pa.int64(), nullable=False),
    pa.field("num_starts", pa.int64(), nullable=False),
    pa.field("value", pa.float64(), nullable=False),
    pa.field("weight", pa.float64(), nullable=False),
])  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MeasuredOn:
    """A checkpoint by its number of updates, and one revision of a store."""

    checkpoint_step: int
    store_uuid: str

    @classmethod
    def of(cls, evaluation: Mapping[str, Any]) -> MeasuredOn:
        """What evaluation.json says of itself."""
        of_file = evaluation["measured_on"]
        return cls(checkpoint_step=of_file["checkpoint_step"], store_uuid=of_file["store_uuid"])

    def to_metadata(self) -> dict[str, str]:
        """As it stands in the file."""
        return {name: str(value) for name, value in vars(self).items()}


def write_trajectory_sums(path: Path, sums: SumsByName, measured_on: MeasuredOn) -> None:
    """Write the file atomically."""
    schema = SCHEMA.with_metadata(measured_on.to_metadata())
    columns = {
        "measure": np.repeat(list(sums), [len(of.value_C) for of in sums.values()]),
        "trajectory": np.concatenate([of.trajectory_C for of in sums.values()]),
        "num_starts": np.concatenate([of.num_starts_C for of in sums.values()]),
        "value": np.concatenate([of.value_C for of in sums.values()]),
        "weight": np.concatenate([of.weight_C for of in sums.values()]),
    }
    write_parquet(path, pa.table(columns, schema=schema))


def read_trajectory_sums(path: Path, measured_on: MeasuredOn) -> SumsByName | None:
    """What was measured, and None where that is missing or was measured on something else.

    Raises EvaluationError where it is no such file.
    """
    if not path.is_file():
        return None
    try:
        table = read_parquet(path, SCHEMA)
    except SchemaError as error:
        raise EvaluationError(
            f"{path} is not what `evaluate` writes: {error} "
            f"Remove it; `permafrost evaluate {path.parent}` measures again."
        ) from error
    metadata = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    if {name: metadata.get(name) for name in vars(measured_on)} != measured_on.to_metadata():
        return None
    name_X, *columns = (column.to_numpy(zero_copy_only=False) for column in table.columns)
    return {name: _sums_of(*(column[name_X == name] for column in columns)) for name in dict.fromkeys(name_X)}


def _sums_of(trajectory_C: Any, num_starts_C: Any, value_C: Any, weight_C: Any) -> TrajectorySums:
    return TrajectorySums(
        trajectory_C=trajectory_C, num_starts_C=num_starts_C, value_C=value_C, weight_C=weight_C
    )
