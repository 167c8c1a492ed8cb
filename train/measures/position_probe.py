"""Where a latent says that the end effector is: a ridge probe, fitted on encoded frames of training clips.

A prediction from which the position can still be read has kept what a planner needs.
Legend: X frames, N tokens per frame, D encoder width, F features.
"""

from __future__ import annotations

from collections.abc import Iterable
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
PENALTIES: Final = tuple(10.0**power for power in range(-1, 7))


@dataclass(frozen=True, kw_only=True, eq=False)
class PositionProbe:
    """Latents in, xyz in metres out."""

    grid_height: int
    grid_width: int
    regression: Any

    @classmethod
    def fit(cls, batches: Iterable[Clips], *, grid_height: int, grid_width: int) -> PositionProbe:
        """Fit on the first and the last frame of every clip; the penalty is chosen by leaving one out."""
        features, positions = [], []
        for clips in batches:
            ends_BTND = clips.latents_BTND[:, [0, -1]]
            features.append(_features(ends_BTND.flatten(0, 1), grid_height, grid_width))
            positions.append(clips.states_BTA[:, [0, -1], :3].flatten(0, 1).cpu().numpy())
        regression = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        regression.fit(np.concatenate(features), np.concatenate(positions))
        return cls(grid_height=grid_height, grid_width=grid_width, regression=regression)

    def errors_metres(self, latents_XND: Tensor, positions_X3: Tensor) -> NDArray[np.float64]:
        """Distance (X,) of the position read from each latent to the recorded one."""
        read_X3 = self.regression.predict(_features(latents_XND, self.grid_height, self.grid_width))
        return np.asarray(np.linalg.norm(read_X3 - positions_X3.cpu().numpy(), axis=1), dtype=np.float64)


def _features(latents_XND: Tensor, grid_height: int, grid_width: int) -> NDArray[np.float32]:
    grid_XDHW = torch.unflatten(latents_XND.float().mT, -1, (grid_height, grid_width))
    size = min(grid_height, GRID_LIMIT), min(grid_width, GRID_LIMIT)
    pooled_XF = F.adaptive_avg_pool2d(grid_XDHW, size).flatten(1)
    features_XF: NDArray[np.float32] = pooled_XF.to(torch.float32).cpu().numpy()
    return features_XF
