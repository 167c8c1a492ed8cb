"""Means with intervals that know that frames of one trajectory resemble each other.

Shape legend: S starts, C clusters (trajectories), R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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


def mean_interval(value_S: Values, trajectory_S: NDArray[np.int64]) -> Interval:
    """Mean of `value_S`; whole trajectories are resampled, with replacement (Efron and Tibshirani, 1993).

    With one trajectory there is nothing to resample, and the interval is the mean.
    """
    return ratio_interval(value_S, np.ones_like(value_S), trajectory_S)


def ratio_interval(value_S: Values, other_S: Values, trajectory_S: NDArray[np.int64]) -> Interval:
    """Mean of `value_S` divided by mean of `other_S`, over the same resamples of trajectories."""
    _, cluster_S = np.unique(trajectory_S, return_inverse=True)
    value_C, other_C = np.bincount(cluster_S, value_S), np.bincount(cluster_S, other_S)
    times_RC = _times_drawn(len(value_C))
    ratio_R = (times_RC @ value_C) / (times_RC @ other_C)
    low, high = np.quantile(ratio_R, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Interval(mean=float(value_S.sum() / other_S.sum()), low=float(low), high=float(high))


def _times_drawn(num_clusters: int) -> Values:
    """How often each cluster is in each resample; the same for every number of one store."""
    rng = np.random.default_rng(_SEED)
    shares = np.full(num_clusters, 1.0 / num_clusters)
    return rng.multinomial(num_clusters, shares, size=NUM_RESAMPLES).astype(np.float64)
