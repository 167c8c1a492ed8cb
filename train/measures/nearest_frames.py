"""Which stored frames look most like a latent: a way to see a prediction that needs no decoder.

Legend: Q queries, C candidates, N tokens per frame, D encoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.view import View

MAX_CANDIDATES: Final = 1_024
BATCH_FRAMES: Final = 32
NO_TRAJECTORY: Final = -1
_SEED: Final = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Addresses of frames (C,), and the index of the trajectory of each."""

    address_C: NDArray[np.int64]
    trajectory_C: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.address_C)


def held_out_candidates(view: View, whole: Sequence[int], *, limit: int = MAX_CANDIDATES) -> Candidates:
    """Held-out frames in order of their addresses: all of the trajectories `whole`, and others by a seed.

    At most `limit`, or as many as `whole` has.
    """
    frames = [(t.first_frame + n, t.index) for t in view.split("validation") for n in range(t.num_frames)]
    address_C, trajectory_C = np.array(frames, dtype=np.int64).T
    is_kept_C = np.isin(trajectory_C, whole)
    others = np.flatnonzero(~is_kept_C)
    room = min(max(limit - int(is_kept_C.sum()), 0), len(others))
    is_kept_C[np.random.default_rng(_SEED).choice(others, room, replace=False)] = True
    return Candidates(address_C=address_C[is_kept_C], trajectory_C=trajectory_C[is_kept_C])


@dataclass(frozen=True, kw_only=True, eq=False)
class NearestFrames:
    """For every query (Q,): address and trajectory of the nearest candidate, and its L1 per channel.

    Where no candidate is allowed, the distance is infinite.
    """

    address_Q: NDArray[np.int64]
    trajectory_Q: NDArray[np.int64]
    distance_Q: NDArray[np.float64]


def nearest_frames(
    view: View, queries_QND: Tensor, barred_Q: NDArray[np.int64], candidates: Candidates
) -> NearestFrames:
    """Nearest by mean absolute difference of layer-normed latents; the first of equals.

    barred_Q: index of the trajectory that a query's answer may not be of, or `NO_TRAJECTORY`. A few
    candidates are in memory at a time, the queries all.
    """
    distance_Q = np.full(len(queries_QND), np.inf)
    place_Q = np.zeros(len(queries_QND), dtype=np.int64)
    parts = np.split(np.arange(len(candidates)), range(BATCH_FRAMES, len(candidates), BATCH_FRAMES))
    addresses = (candidates.address_C[part] for part in parts)
    with view.clips.stream(addresses, clip_frames=1, max_clips=BATCH_FRAMES) as stream:
        for part, clips in zip(parts, stream, strict=True):
            distance_QC = _distances(queries_QND, clips.latents_BTND[:, 0])
            distance_QC[barred_Q[:, None] == candidates.trajectory_C[part]] = np.inf
            least_Q = distance_QC.min(axis=1)
            place_Q = np.where(least_Q < distance_Q, part[distance_QC.argmin(axis=1)], place_Q)
            distance_Q = np.minimum(least_Q, distance_Q)
    return NearestFrames(
        address_Q=candidates.address_C[place_Q],
        trajectory_Q=candidates.trajectory_C[place_Q],
        distance_Q=distance_Q,
    )


def _distances(queries_QND: Tensor, candidates_CND: Tensor) -> NDArray[np.float64]:
    flat_QX, flat_CX = queries_QND.flatten(1), candidates_CND.flatten(1)
    distance_QC = torch.cdist(flat_QX, flat_CX, p=1) / flat_QX.shape[1]
    distances: NDArray[np.float64] = distance_QC.double().cpu().numpy()
    return distances
