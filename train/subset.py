"""Which trajectories of the training split a run draws from: all, or a nested part counted in hours."""

import hashlib
from collections.abc import Sequence

from store_schema.tables import Trajectory


class SubsetError(ValueError):
    """The training split does not hold what was asked for."""


def long_enough(trajectories: Sequence[Trajectory], clip_frames: int) -> tuple[Trajectory, ...]:
    """The trajectories that hold at least one clip. Raises SubsetError where none does."""
    usable = tuple(t for t in trajectories if t.num_frames >= clip_frames)
    if not usable:
        longest = max((t.num_frames for t in trajectories), default=0)
        raise SubsetError(
            f"No training trajectory has {clip_frames} frames: there are {len(trajectories)}, the longest "
            f"has {longest}. Lower clip_frames, or featurize longer episodes."
        )
    return usable


def nested_subset(
    trajectories: Sequence[Trajectory], *, hours: float, subset_seed: int, frame_rate_hz: float
) -> tuple[Trajectory, ...]:
    """The trajectories of the fewest episodes that reach `hours` of recording, in the order given.

    Episodes are taken in the order of a hash of their id and the seed, so for one seed the subset of fewer
    hours is contained in that of more. An episode counts once, by its longest trajectory, however many views
    of it there are. Raises SubsetError where the split holds fewer hours.
    """
    episode_seconds: dict[str, float] = {}
    for t in trajectories:
        seconds = t.num_frames / frame_rate_hz
        episode_seconds[t.episode_id] = max(seconds, episode_seconds.get(t.episode_id, 0.0))
    chosen, total_seconds = set(), 0.0
    for episode_id in sorted(episode_seconds, key=lambda name: _rank(name, subset_seed)):
        if total_seconds >= hours * 3600:
            break
        chosen.add(episode_id)
        total_seconds += episode_seconds[episode_id]
    if total_seconds < hours * 3600:
        raise SubsetError(
            f"hours is {hours}, but the training split holds {total_seconds / 3600:.4g}. "
            "Lower hours, or leave it out to train on the whole split."
        )
    return tuple(t for t in trajectories if t.episode_id in chosen)


def _rank(episode_id: str, subset_seed: int) -> bytes:
    return hashlib.sha256(f"{subset_seed}/{episode_id}".encode()).digest()
