"""The energy landscape around a recorded action, as far as it can be drawn: over two axes at a time.

Legend: G places along an axis, S samples, A action size (7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.measures.steps import Step
from train.planning.planner import Planner

PLANES: Final = ((0, 1), (0, 2))
"""dx-dy and dx-dz."""
PLACES: Final = 21


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyPlane:
    """Energies one step ahead over two position axes; the rest of the action is as recorded.

    axes: of the action, the one drawn to the right first. metres_G: float64, tried along both, from bound to
    bound. energy_GG: float64, a row for each place on the second axis. recorded_metres: of the recorded
    action on both axes. recorded_energy: of the recorded action itself, which lies between places.
    """

    axes: tuple[int, int]
    metres_G: NDArray[np.float64]
    energy_GG: NDArray[np.float64]
    recorded_metres: tuple[float, float]
    recorded_energy: float

    @property
    def minimum_metres(self) -> tuple[float, float]:
        """Of the place with the lowest energy, on both axes."""
        row, column = np.unravel_index(self.energy_GG.argmin(), self.energy_GG.shape)
        return float(self.metres_G[column]), float(self.metres_G[row])

    @property
    def minimum_off_metres(self) -> float:
        """Distance within the plane of that place from the recorded action."""
        return float(np.hypot(*np.subtract(self.minimum_metres, self.recorded_metres)))

    @property
    def share_below(self) -> float:
        """Share of the places with a lower energy than the recorded action; equal ones count half."""
        below, equal = self.energy_GG < self.recorded_energy, self.energy_GG == self.recorded_energy
        return float(below.mean() + equal.mean() / 2)


def energy_planes(planner: Planner, step: Step, *, places: int = PLACES) -> tuple[EnergyPlane, ...]:
    """A plane for each pair of `PLANES`, places x places actions each, around the step's first action."""
    return tuple(_plane(planner, step, axes, places) for axes in PLANES)


def _plane(planner: Planner, step: Step, axes: tuple[int, int], places: int) -> EnergyPlane:
    bound = planner.bounds.xyz_metres
    metres_G = np.linspace(-bound, bound, places)
    tried_SHA = torch.cat([step.actions_TA[:1], _grid(step.actions_TA[0], axes, metres_G)])[:, None]
    energy_S = planner.energies(step.latents_TND[0], step.states_TA[0], step.latents_TND[1], tried_SHA)
    energy_S = energy_S.double().cpu()
    first, second = step.actions_TA[0, list(axes)].tolist()
    return EnergyPlane(
        axes=axes,
        metres_G=metres_G,
        energy_GG=energy_S[1:].numpy().reshape(places, places),
        recorded_metres=(first, second),
        recorded_energy=float(energy_S[0]),
    )


def _grid(recorded_A: Tensor, axes: tuple[int, int], metres_G: NDArray[np.float64]) -> Tensor:
    """Actions (G x G, 7), the first axis running fastest."""
    across_GG, up_GG = np.meshgrid(metres_G, metres_G)
    grid_SA = recorded_A.repeat(across_GG.size, 1)
    for axis, values_GG in zip(axes, (across_GG, up_GG), strict=True):
        grid_SA[:, axis] = torch.from_numpy(values_GG.ravel()).to(grid_SA)
    return grid_SA
