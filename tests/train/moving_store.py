"""A drawn store for what is measured of planning: the arm moves, and nothing turns."""

from pathlib import Path

from store_schema.tables import Split

from ..conftest import write_store


def write_moving_store(path: Path, trajectories: list[tuple[int, Split]]) -> Path:
    """A sealed store of (num_frames, split) without rotation: a plan, which has none, would move instead."""
    return write_store(path, trajectories=trajectories, action_std=(0.1, 0.1, 0.1, 0.0, 0.0, 0.0, 0.1))
