"""Means with intervals that know that frames of one trajectory resemble each other.

Shape legend: S starts, C clusters (trajectories), R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES: Final = 2_000
COVERED: Final = 0.95
_SEED: Final = 0

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean, and the range that 95 % of the bootstrap's resamples fall into."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """As printed."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectorySums:
    """What a measure adds up to in every trajectory, which is all that its mean and interval depend on.

    trajectory_C: int64, ascending indices. num_starts_C: int64. value_C: float64 sums of the measure.
    weight_C: float64, what they are divided by: numbers of starts for a mean, another measure's sums for a
    ratio. of_some: there are starts without a value.
    """

    trajectory_C: NDArray[np.int64]
    num_starts_C: NDArray[np.int64]
    value_C: Values
    weight_C: Values
    of_some: bool = False

    @classmethod
    def of_ratio(cls, value_S: Values, other_S: Values, trajectory_S: NDArray[np.int64]) -> TrajectorySums:
        """Mean of `value_S` divided by the mean of `other_S`."""
        trajectory_C, cluster_S = np.unique(trajectory_S, return_inverse=True)
        return cls(
            trajectory_C=trajectory_C,
            num_starts_C=np.bincount(cluster_S),
            value_C=np.bincount(cluster_S, value_S).astype(np.float64),
            weight_C=np.bincount(cluster_S, other_S).astype(np.float64),
        )

    @classmethod
    def of_mean(cls, value_S: Values, trajectory_S: NDArray[np.int64]) -> TrajectorySums:
        """Mean of the values that are there; NaN is none. Raises ValueError where none is."""
        there_S = ~np.isnan(value_S)
        if not there_S.any():
            raise ValueError("no start has a value")
        sums = cls.of_ratio(value_S[there_S], np.ones(there_S.sum()), trajectory_S[there_S])
        return cls(**{**vars(sums), "of_some": not there_S.all()})

    def interval(self) -> Interval:
        """Whole trajectories are resampled, with replacement (Efron and Tibshirani, 1993).

        With one trajectory there is nothing to resample, and the interval is the mean.
        """
        return _interval(self._mean(), self._resampled())

    def minus(self, other: TrajectorySums) -> Interval | None:
        """Of the difference to the same measure of another predictor on the same starts; None on others.

        Both are taken on the same resamples. What makes a trajectory hard for both cancels, so a difference
        can be certain where the intervals of the two overlap.
        """
        ours, theirs = (np.stack([sums.trajectory_C, sums.num_starts_C]) for sums in (self, other))
        if not np.array_equal(ours, theirs):
            return None
        return _interval(self._mean() - other._mean(), self._resampled() - other._resampled())

    def to_json(self) -> dict[str, Any]:
        """The interval; with the number of starts where some have no value."""
        found: dict[str, Any] = {**self.interval().to_json()}
        return {**found, "num_starts": int(self.num_starts_C.sum())} if self.of_some else found

    def _mean(self) -> float:
        return float(self.value_C.sum() / self.weight_C.sum())

    def _resampled(self) -> Values:
        """The mean in every resample, (R,)."""
        times_RC = _times_drawn(len(self.value_C))
        ratio_R: Values = (times_RC @ self.value_C) / (times_RC @ self.weight_C)
        return ratio_R


def _interval(mean: float, resampled_R: Values) -> Interval:
    low, high = np.quantile(resampled_R, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Interval(mean=mean, low=float(low), high=float(high))


def _times_drawn(num_clusters: int) -> Values:
    """How often each cluster is in each resample; the same for every number of one store."""
    rng = np.random.default_rng(_SEED)
    shares = np.full(num_clusters, 1.0 / num_clusters)
    return rng.multinomial(num_clusters, shares, size=NUM_RESAMPLES).astype(np.float64)
