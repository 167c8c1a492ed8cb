import numpy as np
import pyarrow.parquet as pq
import pytest

from train.evaluation import EvaluationError
from train.measures.intervals import TrajectorySums
from train.measures.trajectory_sums_file import MeasuredOn, read_trajectory_sums, write_trajectory_sums

HERE = MeasuredOn(checkpoint_step=3, store_uuid="one")


@pytest.fixture
def sums():
    trajectory_S = np.array([4, 4, 9])
    return {
        "mean": TrajectorySums.of_mean(np.array([1.0, 2.0, 5.0]), trajectory_S),
        "ratio": TrajectorySums.of_ratio(np.array([1.0, 2.0, 5.0]), np.array([2.0, 2.0, 3.0]), trajectory_S),
    }


def test_reads_what_was_written(sums, tmp_path):
    write_trajectory_sums(tmp_path / "sums.parquet", sums, HERE)
    found = read_trajectory_sums(tmp_path / "sums.parquet", HERE)
    assert list(found) == ["mean", "ratio"]
    for name, own in sums.items():
        assert found[name].interval() == own.interval()
        assert found[name].minus(own).to_json() == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_anybody_can_read_it_as_a_table(sums, tmp_path):
    write_trajectory_sums(tmp_path / "sums.parquet", sums, HERE)
    assert pq.read_table(tmp_path / "sums.parquet").to_pylist()[:2] == [
        {"measure": "mean", "trajectory": 4, "num_starts": 2, "value": 3.0, "weight": 2.0},
        {"measure": "mean", "trajectory": 9, "num_starts": 1, "value": 5.0, "weight": 1.0},
    ]


@pytest.mark.parametrize("other", [{"checkpoint_step": 4}, {"store_uuid": "two"}])
def test_what_was_measured_on_something_else_is_not_taken(sums, tmp_path, other):
    write_trajectory_sums(tmp_path / "sums.parquet", sums, MeasuredOn(**{**vars(HERE), **other}))
    assert read_trajectory_sums(tmp_path / "sums.parquet", HERE) is None
    assert read_trajectory_sums(tmp_path / "missing.parquet", HERE) is None


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "sums.parquet").write_bytes(b"no table")
    said = r"sums\.parquet cannot be read.* Remove it; `permafrost evaluate"
    with pytest.raises(EvaluationError, match=said):
        read_trajectory_sums(tmp_path / "sums.parquet", HERE)
