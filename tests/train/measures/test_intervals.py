import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.measures.intervals import TrajectorySums


def test_the_interval_covers_the_mean_of_the_trajectories_about_as_often_as_it_says():
    """Frames of a trajectory share its offset; 95 % intervals over 30 trajectories cover a little less."""
    rng, trajectory_S = np.random.default_rng(0), np.repeat(np.arange(30), 20)
    covered = 0
    for _ in range(200):
        value_S = rng.normal(size=30)[trajectory_S] + 0.1 * rng.normal(size=600)
        interval = TrajectorySums.of_mean(value_S, trajectory_S).interval()
        covered += interval.low <= 0.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.98


def test_frames_that_resemble_each_other_count_as_one_trajectory():
    rng = np.random.default_rng(1)
    value_S = np.repeat(rng.normal(size=10), 50)
    clustered = TrajectorySums.of_mean(value_S, np.repeat(np.arange(10), 50)).interval()
    independent = TrajectorySums.of_mean(value_S, np.arange(500)).interval()
    assert clustered.mean == pytest.approx(independent.mean)
    assert clustered.high - clustered.low > 4 * (independent.high - independent.low)


def test_one_trajectory_has_no_interval():
    interval = TrajectorySums.of_mean(np.array([1.0, 3.0]), np.array([7, 7])).interval()
    assert (interval.mean, interval.low, interval.high) == pytest.approx((2.0, 2.0, 2.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_mean_lies_in_its_interval_and_a_ratio_to_itself_is_one(rows):
    value_S, trajectory_S = (np.array(column) for column in zip(*rows, strict=True))
    interval = TrajectorySums.of_mean(value_S, trajectory_S).interval()
    assert interval.mean == pytest.approx(value_S.mean())
    assert value_S.min() - 1e-9 <= interval.low <= interval.high <= value_S.max() + 1e-9
    same = TrajectorySums.of_ratio(value_S, value_S, trajectory_S).interval()
    assert (same.low, same.mean, same.high) == pytest.approx((1.0, 1.0, 1.0))


def test_a_ratio_is_of_means_and_not_a_mean_of_ratios():
    interval = TrajectorySums.of_ratio(
        np.array([1.0, 9.0]), np.array([1.0, 3.0]), np.array([0, 1])
    ).interval()
    assert interval.mean == pytest.approx(10 / 4)


def test_a_start_without_a_value_counts_for_nothing_and_is_told():
    sums = TrajectorySums.of_mean(np.array([1.0, np.nan, 4.0]), np.array([0, 0, 1]))
    assert sums.to_json() == {"mean": 2.5, "low": 1.0, "high": 4.0, "num_starts": 2}
    assert "num_starts" not in TrajectorySums.of_mean(np.array([1.0]), np.array([0])).to_json()
    with pytest.raises(ValueError, match="no start has a value"):
        TrajectorySums.of_mean(np.array([np.nan]), np.array([0]))


def test_what_makes_a_trajectory_hard_for_both_runs_does_not_hide_their_difference():
    rng, trajectory_S = np.random.default_rng(2), np.repeat(np.arange(20), 10)
    hard_S = rng.normal(5.0, 2.0, size=20)[trajectory_S]
    first, better = (
        TrajectorySums.of_mean(hard_S + offset + 0.05 * rng.normal(size=200), trajectory_S)
        for offset in (0.0, -0.2)
    )
    assert better.interval().high > first.interval().low
    difference = better.minus(first)
    assert difference.mean == pytest.approx(-0.2, abs=0.02)
    assert -0.25 < difference.low < difference.high < -0.15


def test_the_interval_of_a_difference_covers_it_about_as_often_as_it_says():
    rng, trajectory_S = np.random.default_rng(3), np.repeat(np.arange(30), 5)
    covered = 0
    for _ in range(200):
        of_trajectory_S = rng.normal(size=30)[trajectory_S]
        other_S = rng.normal(size=30)[trajectory_S] + of_trajectory_S
        difference = TrajectorySums.of_mean(of_trajectory_S, trajectory_S).minus(
            TrajectorySums.of_mean(other_S, trajectory_S)
        )
        covered += difference.low <= 0.0 <= difference.high
    assert 0.88 <= covered / 200 <= 0.98


def test_runs_measured_on_other_starts_have_no_difference():
    value_S = np.array([1.0, 2.0, 3.0])
    sums = TrajectorySums.of_mean(value_S, np.array([0, 0, 1]))
    assert sums.minus(TrajectorySums.of_mean(value_S, np.array([0, 0, 2]))) is None
    assert sums.minus(TrajectorySums.of_mean(value_S, np.array([0, 1, 1]))) is None
    same = sums.minus(sums)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
