"""How far latents say that the end effector has moved: ridge probes, fitted on encoded training frames.

The position is read relative to that of the first frame, which is known whenever one plans: where a robot
stands in its own coordinates cannot be told from one picture of a camera that may stand anywhere, how far it
has moved between two pictures can. A prediction from which it is read has kept what a planner needs.
Legend: B clips, H horizons, N tokens per frame, D encoder width, F features, X frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from train.clips import Clips

GRID_LIMIT: Final = 4
"""Tokens are averaged to a grid of at most 4 x 4, so that features stay fewer than memory."""
PENALTIES: Final = tuple(np.logspace(0, 6, 13))


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionProbe:
    """Change of a latent in, change of xyz in metres out; a regression for each horizon."""

    horizons: tuple[int, ...]
    grid_height: int
    grid_width: int
    regressions: tuple[Any, ...]

    def errors_metres(
        self, latents_HND: Tensor, first_latent_ND: Tensor, states_TA: Tensor
    ) -> NDArray[np.float64]:
        """Distance (H,) of the position read from each horizon's latent to the recorded one.

        states_TA: of the clip that begins with the first latent.
        """
        features_HF = _features(latents_HND - first_latent_ND, self.grid_height, self.grid_width)
        read_H3 = np.concatenate([
            regression.predict(features_F[None])
            for regression, features_F in zip(self.regressions, features_HF, strict=True)
        ])  # fmt: skip
        off_H3 = read_H3 - _moves_metres(states_TA, self.horizons)
        return np.asarray(np.linalg.norm(off_H3, axis=-1), dtype=np.float64)


class ProbeFit:
    """Fits on what changes within `horizons` frames of the first of every clip that is added."""

    def __init__(self, *, horizons: Sequence[int], grid_height: int, grid_width: int) -> None:
        self._horizons = tuple(horizons)
        self._grid = grid_height, grid_width
        self._features_BHF: list[NDArray[np.float32]] = []
        self._moves_BH3: list[NDArray[np.float32]] = []

    def add(self, clips: Clips) -> None:
        """Take one batch in; what is kept of it is averaged to the small grid."""
        changed_BHND = clips.latents_BTND[:, list(self._horizons)] - clips.latents_BTND[:, :1]
        self._features_BHF.append(_features(changed_BHND, *self._grid))
        self._moves_BH3.append(_moves_metres(clips.states_BTA, self._horizons))

    def fitted(self) -> PositionProbe:
        """Of all that was added; the penalty of each regression is chosen by leaving one clip out."""
        features_BHF, moves_BH3 = np.concatenate(self._features_BHF), np.concatenate(self._moves_BH3)
        regressions = tuple(
            _ridge().fit(features_BHF[:, number], moves_BH3[:, number])
            for number in range(len(self._horizons))
        )
        height, width = self._grid
        return PositionProbe(
            horizons=self._horizons, grid_height=height, grid_width=width, regressions=regressions
        )


def _ridge() -> Any:
    """Without an intercept: where nothing has changed, nothing has moved."""
    return make_pipeline(StandardScaler(with_mean=False), RidgeCV(PENALTIES, fit_intercept=False))


def _moves_metres(states: Tensor, horizons: Sequence[int]) -> NDArray[np.float32]:
    """Change of xyz from frame 0 of (..., T, A) to each horizon, (..., H, 3)."""
    xyz = states[..., :3]
    moves: NDArray[np.float32] = (xyz[..., list(horizons), :] - xyz[..., :1, :]).float().cpu().numpy()
    return moves


def _features(latents: Tensor, grid_height: int, grid_width: int) -> NDArray[np.float32]:
    """(..., N, D) to (..., F), averaged to the small grid."""
    grid_XDHW = torch.unflatten(latents.float().mT, -1, (grid_height, grid_width)).flatten(0, -4)
    size = min(grid_height, GRID_LIMIT), min(grid_width, GRID_LIMIT)
    pooled_XF = F.adaptive_avg_pool2d(grid_XDHW, size).flatten(1)
    features: NDArray[np.float32] = pooled_XF.reshape(*latents.shape[:-2], -1).cpu().numpy()
    return features
