import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.measures.intervals import mean_interval, ratio_interval


def test_the_interval_covers_the_mean_of_the_trajectories_about_as_often_as_it_says():
    """Frames of a trajectory share its offset; 95 % intervals over 30 trajectories cover a little less."""
    rng, trajectory_S = np.random.default_rng(0), np.repeat(np.arange(30), 20)
    covered = 0
    for _ in range(200):
        value_S = rng.normal(size=30)[trajectory_S] + 0.1 * rng.normal(size=600)
        interval = mean_interval(value_S, trajectory_S)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.98


def test_frames_that_resemble_each_other_count_as_one_trajectory():
    rng = np.random.default_rng(1)
    value_S = np.repeat(rng.normal(size=10), 50)
    clustered = mean_interval(value_S, np.repeat(np.arange(10), 50))
    independent = mean_interval(value_S, np.arange(500))
    assert clustered.mean == pytest.approx(independent.mean)
    assert clustered.high - clustered.low > 4 * (independent.high - independent.low)


def test_one_trajectory_has_no_interval():
    interval = mean_interval(np.array([1.0, 3.0]), np.array([7, 7]))
    assert (interval.mean, interval.low, interval.high) == pytest.approx((2.0, 2.0, 2.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_mean_lies_in_its_interval_and_a_ratio_to_itself_is_one(rows):
    value_S, trajectory_S = (np.array(column) for column in zip(*rows, strict=True))
    interval = mean_interval(value_S, trajectory_S)
    assert interval.mean == pytest.approx(value_S.mean())
    assert value_S.min() - 1e-9 <= interval.low <= interval.high <= value_S.max() + 1e-9
    same = ratio_interval(value_S, value_S, trajectory_S)
    assert (same.low, same.mean, same.high) == pytest.approx((1.0, 1.0, 1.0))


def test_a_ratio_is_of_means_and_not_a_mean_of_ratios():
    interval = ratio_interval(np.array([1.0, 9.0]), np.array([1.0, 3.0]), np.array([0, 1]))
    assert interval.mean == pytest.approx(10 / 4)
