"""Predictions shown by the stored frames that they look most like, beside the frames that came.

Legend: H horizons, Q queries.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory
from train.evaluation import HORIZONS
from train.measures.nearest_frames import (
    NO_TRAJECTORY,
    Candidates,
    NearestFrames,
    held_out_candidates,
    nearest_frames,
)
from train.measures.rollouts import Rollout
from train.view import View

TRUE: Final = "what came"
NEAREST: Final = "nearest to the prediction"
NEAREST_ELSEWHERE: Final = "nearest to the prediction, other trajectories"
CEILING: Final = "nearest to what came, other trajectories"
_SEARCHED: Final = (NEAREST, NEAREST_ELSEWHERE, CEILING)


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbour:
    """A stored frame. thumbnail: uint8 (64, 64, 3). distance: L1 to what was asked for, None for itself."""

    trajectory: int
    offset: int
    thumbnail: NDArray[np.uint8]
    distance: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowNeighbours:
    """Of one window: for each name of a row the frames at `HORIZONS`; a row that has none is left out."""

    trajectory: Trajectory
    start: int
    rows: dict[str, tuple[Neighbour, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """All windows, and among how many of the held-out frames was searched."""

    windows: tuple[WindowNeighbours, ...]
    num_candidates: int
    num_held_out: int

    def count(self) -> dict[str, int]:
        """Of all predictions shown: whose nearest frame is the one that came, and whose is frame 0."""
        found = [
            (near, came, window)
            for window in self.windows
            for near, came in zip(window.rows[NEAREST], window.rows[TRUE], strict=True)
        ]
        at_home = [(n, c, w) for n, c, w in found if n.trajectory == w.trajectory.index]
        return {
            "all": len(found),
            "came": sum(near.offset == came.offset for near, came, _ in at_home),
            "start": sum(near.offset == window.start for near, _, window in at_home),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Album:
    """The frames of a store by address."""

    reader: ClipReader
    trajectories: dict[int, Trajectory]

    def neighbour(self, address: int, trajectory: int, distance: float | None) -> Neighbour:
        return Neighbour(
            trajectory=trajectory,
            offset=address - self.trajectories[trajectory].first_frame,
            thumbnail=self.reader.thumbnails(address, 1)[0],
            distance=distance,
        )


def find_neighbours(store: Store, view: View, rollouts: Sequence[Rollout]) -> Neighbours:
    """Search held-out frames for those nearest to the windows' predictions. Raises StoreError."""
    candidates = held_out_candidates(view, [rolled.trajectory for rolled in rollouts])
    found = _search(view, rollouts, candidates)
    shape = (len(rollouts), len(_SEARCHED), len(HORIZONS))
    columns = (found.address_Q, found.trajectory_Q, found.distance_Q)
    by_window = zip(rollouts, *(column.reshape(shape).tolist() for column in columns), strict=True)
    album = _Album(reader=ClipReader.open(store), trajectories={t.index: t for t in store.trajectories})
    return Neighbours(
        windows=tuple(_of_window(album, *of_window) for of_window in by_window),
        num_candidates=len(candidates),
        num_held_out=sum(t.num_frames for t in view.split("validation")),
    )


def _search(view: View, rollouts: Sequence[Rollout], candidates: Candidates) -> NearestFrames:
    """Queries in the order of windows, within each of `_SEARCHED`, within each of horizons."""
    scored = [horizon - 1 for horizon in HORIZONS]
    queries, barred = [], []
    for rolled in rollouts:
        predicted_HND, came_HND = rolled.predicted_TND[scored], rolled.encoded_TND[1:][scored]
        queries += [predicted_HND, predicted_HND, came_HND]
        barred += [NO_TRAJECTORY] * len(scored) + [rolled.trajectory] * 2 * len(scored)
    return nearest_frames(view, torch.cat(queries), np.array(barred), candidates)


def _of_window(
    album: _Album,
    rolled: Rollout,
    addresses: list[list[int]],
    owners: list[list[int]],
    distances: list[list[float]],
) -> WindowNeighbours:
    came = (album.neighbour(rolled.first_frame + horizon, rolled.trajectory, None) for horizon in HORIZONS)
    rows = {TRUE: tuple(came)}
    for name, address_H, owner_H, distance_H in zip(_SEARCHED, addresses, owners, distances, strict=True):
        # Without another held-out trajectory there is nothing to find in one.
        if math.isfinite(max(distance_H)):
            rows[name] = tuple(map(album.neighbour, address_H, owner_H, distance_H))
    trajectory = album.trajectories[rolled.trajectory]
    start = rolled.first_frame - trajectory.first_frame
    return WindowNeighbours(trajectory=trajectory, start=start, rows=rows)
