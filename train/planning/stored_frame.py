"""One stored frame by trajectory and place: where a plan starts from, or what it is to see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from store_schema.tables import Trajectory
from train.planning.search import PlanningError
from train.view import View


@dataclass(frozen=True, kw_only=True)
class FrameName:
    """A frame, counted from 0, of the trajectory with this index; written 'TRAJECTORY:FRAME'."""

    trajectory: int
    frame: int

    @classmethod
    def parse(cls, text: str) -> FrameName:
        """Raises PlanningError for anything but two whole numbers with a colon between them."""
        trajectory, colon, frame = text.partition(":")
        if not (colon and trajectory.isdecimal() and frame.isdecimal()):
            raise PlanningError(
                f"'{text}' names no frame; write TRAJECTORY:FRAME, such as 3:0 for the first frame of "
                "trajectory 3."
            )
        return cls(trajectory=int(trajectory), frame=int(frame))

    def __str__(self) -> str:
        return f"{self.trajectory}:{self.frame}"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredFrame:
    """latent_ND: layer-normed, float32 (N, D). state_A: (7,) as in `train.clips.Clips`."""

    trajectory: Trajectory
    latent_ND: Tensor
    state_A: Tensor


def read_frames(view: View, names: tuple[FrameName, ...]) -> tuple[StoredFrame, ...]:
    """The frames of these names, on the view's device.

    Raises PlanningError for a frame that is not there, and what reading clips raises.
    """
    owners = [_trajectory(view, name) for name in names]
    addresses = np.array([owner.first_frame + name.frame for owner, name in zip(owners, names, strict=True)])
    with view.clips.stream(iter([addresses]), clip_frames=1, max_clips=len(addresses)) as stream:
        clips = next(stream)
    return tuple(
        StoredFrame(trajectory=owner, latent_ND=clips.latents_BTND[row, 0], state_A=clips.states_BTA[row, 0])
        for row, owner in enumerate(owners)
    )


def _trajectory(view: View, name: FrameName) -> Trajectory:
    owner = next((t for t in view.trajectories if t.index == name.trajectory), None)
    if owner is None:
        indices = [t.index for t in view.trajectories]
        raise PlanningError(
            f"{view.name} has no finished trajectory {name.trajectory}; it has {len(indices)}, with indices "
            f"from {min(indices)} to {max(indices)}."
        )
    if name.frame >= owner.num_frames:
        raise PlanningError(
            f"Trajectory {name.trajectory} has frames 0 to {owner.num_frames - 1}; got {name.frame}."
        )
    return owner
