"""Which actions a planner may choose.

Shape legend: A action size (7); leading dimensions are free.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from store_schema.attributes import DimensionStatistics

XYZ = slice(0, 3)
ROTATION = slice(3, 6)
GRIPPER = slice(6, 7)

PUBLISHED_XYZ_METRES_PER_SECOND = 0.075
PUBLISHED_GRIPPER_PER_SECOND = 0.75

# Of data in which nothing moves; a bound must be positive.
SMALLEST_XYZ_METRES = 1e-4
SMALLEST_GRIPPER = 1e-3


@dataclass(frozen=True, kw_only=True)
class ActionBounds:
    """Largest change of state in one step: of each position axis in metres, and of the gripper (0..1).

    Rotation is not planned: it stays as it is (arXiv 2506.09985, section 3.2), and so does a gripper whose
    bound is 0.
    """

    xyz_metres: float
    gripper: float

    def __post_init__(self) -> None:
        if not self.xyz_metres > 0:
            raise ValueError(f"xyz_metres is {self.xyz_metres}; a bound must be positive.")
        if not self.gripper >= 0:
            raise ValueError(f"gripper is {self.gripper}; a bound must be positive, or 0 to leave it alone.")

    @classmethod
    def published(cls, step_seconds: float) -> ActionBounds:
        """0.075 m and 0.75 for the second that a step of the public data takes, scaled to `step_seconds`."""
        return cls(
            xyz_metres=PUBLISHED_XYZ_METRES_PER_SECOND * step_seconds,
            gripper=PUBLISHED_GRIPPER_PER_SECOND * step_seconds,
        )

    @classmethod
    def recorded(cls, statistics: DimensionStatistics) -> ActionBounds:
        """Three deviations of recorded actions; rare larger ones, as a closing gripper, lie outside."""
        return cls(
            xyz_metres=3 * max(*statistics.std[XYZ], SMALLEST_XYZ_METRES),
            gripper=3 * max(*statistics.std[GRIPPER], SMALLEST_GRIPPER),
        )

    def clip(self, actions_A: torch.Tensor) -> torch.Tensor:
        """The nearest allowed actions, axis by axis."""
        limit_A = self.limits(actions_A)
        return torch.minimum(torch.maximum(actions_A, -limit_A), limit_A)

    def limits(self, like_A: torch.Tensor) -> torch.Tensor:
        """The largest allowed action (7,), of the dtype and on the device of `like_A`."""
        values = [self.xyz_metres] * 3 + [0.0] * 3 + [self.gripper]
        return torch.tensor(values, dtype=like_A.dtype, device=like_A.device)
