"""Two stored frames that a picture is about: where a step or a plan starts, and what it leads to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store_schema.reader import ClipReader
from store_schema.store import Store
from store_schema.tables import Trajectory
from train.measures.moving_steps import MovingStep


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePair:
    """start, goal: thumbnails, uint8 (64, 64, 3). offset: of the start within its trajectory."""

    trajectory: Trajectory
    offset: int
    horizon: int
    start: NDArray[np.uint8]
    goal: NDArray[np.uint8]

    @classmethod
    def read(cls, store: Store, moving: MovingStep, horizon: int) -> "FramePair":
        """The step's first frame and the one `horizon` later. Raises StoreError."""
        trajectory = next(t for t in store.trajectories if t.index == moving.step.trajectory)
        seen = ClipReader.open(store).thumbnails(moving.first_frame, horizon + 1)
        return cls(
            trajectory=trajectory,
            offset=moving.first_frame - trajectory.first_frame,
            horizon=horizon,
            start=seen[0],
            goal=seen[-1],
        )

    @property
    def names(self) -> tuple[str, str]:
        """As `permafrost plan --start --goal` takes them."""
        return (
            f"{self.trajectory.index}:{self.offset}",
            f"{self.trajectory.index}:{self.offset + self.horizon}",
        )
