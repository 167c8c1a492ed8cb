"""Statistics of states and actions from the rows of a source: no video is decoded, and no slot is read.

Legend: T frames of a trajectory, F frame addresses, A state and action size (7).
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featurize.errors import NotEnoughEpisodesError, StepOrderError
from featurize.index_table import IndexedStream, read_index, read_locations
from featurize.indexed_episode import load_as_indexed
from featurize.isolation import ForeignReader
from featurize.recipe import Build
from featurize.rejects import rejecting
from featurize.sources.disk import require_source
from featurize.threads import num_cores
from store_schema.actions import actions_from_states
from store_schema.attributes import DimensionStatistics
from store_schema.format import SLOT_FRAMES, STATE_SIZE
from store_schema.statistics import dimension_statistics
from store_schema.tables import Trajectory


@dataclass(frozen=True, kw_only=True)
class RowStatistics:
    """Of the training split."""

    states: DimensionStatistics
    actions: DimensionStatistics


def row_statistics(build: Build, trajectories: Sequence[Trajectory]) -> RowStatistics:
    """What `finalise` would store for these trajectories of a plan, to the bit; only training ones count.

    Every episode is read once, by one child process a core. Takes 56 bytes of memory for each frame address.
    Raises NotEnoughEpisodesError where none is of the training split, EpisodeRejected where the source no
    longer serves one, SourceMovedError where it serves none, and StepOrderError where one is not indexed.
    """
    require_source(build.source_root, read_locations(build))
    training = [t for t in trajectories if t.split == "train"]
    if not training:
        raise NotEnoughEpisodesError("No trajectory of the training split can be read: nothing to learn.")
    num_frames = max(t.slots.stop for t in training) * SLOT_FRAMES
    states_FA, actions_FA = np.full((2, num_frames, STATE_SIZE), np.nan, dtype=np.float32)
    # The processes of one machine that torchrun has started read all at once.
    num_processes = max(1, num_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    with (
        ForeignReader(num_processes=num_processes, timeout_seconds=build.read_timeout_seconds) as reader,
        ThreadPoolExecutor(num_processes) as threads,
    ):
        for rows in threads.map(partial(_read, build, reader), _by_stream(build, training)):
            for trajectory, states_TA in rows:
                addresses = slice(trajectory.first_frame, trajectory.first_frame + trajectory.num_frames)
                states_FA[addresses] = states_TA
                actions_FA[addresses] = actions_from_states(states_TA)
    return RowStatistics(
        states=dimension_statistics(states_FA, training), actions=dimension_statistics(actions_FA, training)
    )


_Shown = tuple[IndexedStream, Sequence[Trajectory]]
"""A stream with all its views: an episode is read once for them."""


def _by_stream(build: Build, trajectories: Iterable[Trajectory]) -> list[_Shown]:
    views: defaultdict[tuple[str, str], list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        views[trajectory.episode_id, trajectory.camera].append(trajectory)
    streams = read_index(build, {episode_id for episode_id, _ in views})
    indexed = {(stream.episode_id, stream.camera): stream for stream in streams}
    if lost := sorted(views.keys() - indexed.keys()):
        raise StepOrderError(
            f"{len(lost)} streams are not in the index of this source, the first of episode {lost[0][0]}. "
            "Run `permafrost featurize --step index` with the source that has them, then this again."
        )
    return [(indexed[key], of_stream) for key, of_stream in views.items()]


def _read(build: Build, reader: ForeignReader, shown: _Shown) -> list[tuple[Trajectory, NDArray[np.float64]]]:
    """States (T, A) of every view of a stream."""
    indexed, views = shown
    with rejecting(indexed.episode_id, "encode"):
        episode = load_as_indexed(build, reader, indexed)
    return [(view, episode.states_RA[indexed.rows_at(build.recipe.clock, view.phase)]) for view in views]
