"""Step `index`: look at every episode once, keep what is usable, and say why the rest is not."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from featurize.errors import PlanMismatchError, TooManyRejectsError
from featurize.index_table import (
    INDEX_TABLE,
    IndexedStream,
    is_as_indexed,
    read_index,
    read_index_rejects,
    write_index,
)
from featurize.recipe import Build, indexed_recipe, planned_recipe, write_recipe
from featurize.rejects import EpisodeRejected, RejectReason, rejecting
from featurize.sources.droid_raw import DroidRaw
from featurize.sources.protocol import EpisodeRef, Source
from featurize.video.verify import verify_decodes
from store_schema.format import REJECTS_TABLE
from store_schema.tables import Reject

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """How many episodes are usable, and how many were rejected for which reason."""

    num_usable: int
    num_rejected: int
    rejects: dict[str, int]

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.rejects.items()) or "none"
        num_episodes = self.num_usable + self.num_rejected
        return f"{self.num_usable} of {num_episodes} episodes usable; rejected: {reasons}."


def open_source(build: Build) -> Source:
    """The source that the recipe names."""
    return DroidRaw(build.source_root, build.episode_list)


def index(build: Build, on_progress: Progress | None = None) -> IndexReport:
    """Look at all episodes and write the tables of usable streams and of rejects.

    Raises TooManyRejectsError, after both tables are written, and PlanMismatchError, with nothing written,
    where the store was planned with another recipe or from other episodes.
    """
    planned = planned_recipe(build.store)
    if planned is not None:
        planned.require_same(build.recipe)
    source = open_source(build)
    streams, rejects = _look_at_all(source, list(source.episodes()), build, on_progress)
    streams, doubles = _drop_doubles(streams)
    if planned is not None:
        _require_as_planned(build, streams)
    write_index(build, streams, rejects + doubles)
    write_recipe(build)
    return _checked_report(build, streams, rejects + doubles)


def indexed(build: Build) -> IndexReport | None:
    """What an earlier `index` with the same recipe found; None where none has run."""
    if not (build.folder / INDEX_TABLE).is_file() or indexed_recipe(build.store) != build.recipe:
        return None
    return _checked_report(build, read_index(build), read_index_rejects(build))


def check_rejects(num_usable: int, num_rejected: int, max_share: float, summary: str) -> None:
    """Raise TooManyRejectsError when the share of rejects is above what the recipe allows."""
    num_episodes = num_usable + num_rejected
    if num_episodes == 0:
        raise TooManyRejectsError("No episode was found. Point --source at a folder of DROID raw episodes.")
    if num_rejected > max_share * num_episodes:
        raise TooManyRejectsError(
            f"{num_rejected} of {num_episodes} episodes were rejected; --max-rejects allows a share of "
            f"{max_share:g}. {summary} Mend the source, or raise --max-rejects."
        )


def _require_as_planned(build: Build, streams: list[IndexedStream]) -> None:
    """The steps after `plan` read this table, so it must stay what the plan was made from."""
    if (build.folder / INDEX_TABLE).is_file() and not is_as_indexed(build, streams):
        raise PlanMismatchError(
            "The source is not what the store was planned from; nothing was changed. Leave out --step index "
            "to continue: an episode that broke since is rejected when it is encoded. For new episodes use "
            "another --store."
        )


def _look_at_all(
    source: Source, refs: Sequence[EpisodeRef], build: Build, on_progress: Progress | None
) -> tuple[list[IndexedStream], list[Reject]]:
    streams: list[IndexedStream] = []
    rejects: list[Reject] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(lambda ref: _look(source, ref, build), refs)
        for done, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                streams.extend(outcome)
            if on_progress:
                on_progress(done, len(refs))
    return streams, rejects


def _look(source: Source, ref: EpisodeRef, build: Build) -> list[IndexedStream] | Reject:
    try:
        episode = source.load(ref, build.recipe.cameras, build.recipe.clock)
        with rejecting(ref.episode_id, "index"):
            for stream in episode.streams.values():
                verify_decodes(stream.video_path, stream.num_frames)
    except EpisodeRejected as rejected:
        return Reject(
            episode_id=rejected.episode_id,
            stage=rejected.stage,
            reason=rejected.reason,
            detail=rejected.detail,
        )
    return [IndexedStream.of(episode, stream) for stream in episode.streams.values()]


def _drop_doubles(streams: list[IndexedStream]) -> tuple[list[IndexedStream], list[Reject]]:
    """Keep one folder per episode id, the first by name; the others are rejects."""
    kept: dict[str, str] = {}
    for stream in sorted(streams, key=lambda stream: stream.location):
        kept.setdefault(stream.episode_id, stream.location)
    doubles = {(s.episode_id, s.location) for s in streams if s.location != kept[s.episode_id]}
    rejects = [
        Reject(
            episode_id=episode_id,
            stage="index",
            reason=RejectReason.DUPLICATE_EPISODE,
            detail=f"Folder {location} holds the same episode as {kept[episode_id]}, which is kept.",
        )
        for episode_id, location in sorted(doubles)
    ]
    return [s for s in streams if s.location == kept[s.episode_id]], rejects


def _checked_report(build: Build, streams: Sequence[IndexedStream], rejects: Sequence[Reject]) -> IndexReport:
    report = IndexReport(
        num_usable=len({stream.episode_id for stream in streams}),
        num_rejected=len(rejects),
        rejects=dict(sorted(Counter(reject.reason for reject in rejects).items())),
    )
    listed = f"{report} Each is listed in {build.folder.name}/{REJECTS_TABLE} of the store."
    check_rejects(report.num_usable, report.num_rejected, build.max_rejects, listed)
    return report
