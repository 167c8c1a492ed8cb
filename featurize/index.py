"""Step `index`: look at every episode once, keep what is usable, and say why the rest is not."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice

from featurize.errors import PlanMismatchError, TooManyRejectsError
from featurize.growth import can_grow
from featurize.holding import holding_store
from featurize.index_table import (
    IndexedStream,
    is_as_indexed,
    is_indexed,
    read_index,
    read_index_rejects,
    write_index,
)
from featurize.isolation import ForeignReader
from featurize.new_episodes import (
    NOTHING_KNOWN,
    Known,
    News,
    double_of,
    find_news,
    known_of,
    rejects_so_far,
    require_same_source,
)
from featurize.recipe import Build, indexed_recipe, planned_recipe, write_recipe
from featurize.rejects import TRIED_TWICE, EpisodeRejected, rejecting
from featurize.sources.disk import require_readable, require_source
from featurize.sources.droid_raw import DroidRaw
from featurize.sources.protocol import EpisodeRef, Source
from featurize.video.verify import verify_decodes
from store_schema.format import REJECTS_TABLE
from store_schema.store import Store
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


@holding_store
def index(build: Build, on_progress: Progress | None = None, *, new_only: bool = False) -> IndexReport:
    """Look at all episodes and write the tables of usable streams and of rejects.

    Of a sealed store the new ones are looked at and, unless `new_only`, those that were rejected before.
    Raises TooManyRejectsError, after both tables are written, and PlanMismatchError, with nothing written,
    where the store was planned with another recipe or from other episodes, or credits others for them.
    """
    store = _open_same(build)
    known = NOTHING_KNOWN if store is None else known_of(build, store)
    source = open_source(build)
    news = find_news(list(source.episodes()), known, again=not new_only)
    if store is not None and news.refs:
        require_same_source(store, source)
    looked_at, rejects = _look_at_all(source, news.refs, build, on_progress) if news.refs else ([], [])
    looked_at, doubles = _drop_doubles(looked_at)
    streams = _kept_streams(build, known, news) + looked_at
    rejects = _kept_rejects(known, news) + [r for r in rejects if r.episode_id not in known.held] + doubles
    if store is not None and not can_grow(store.attributes):
        _require_as_planned(build, streams)
    write_index(build, streams, rejects)
    write_recipe(build)
    return _checked_report(build, known.held.union(stream.episode_id for stream in streams), rejects)


def indexed(build: Build) -> IndexReport | None:
    """What earlier calls of `index` with the same recipe found; None where there is something to look at.

    That is everything before the first call, and new episodes once the store is sealed.
    """
    planned = planned_recipe(build.store)
    if planned is not None and planned == build.recipe:
        store = Store.open(build.store)
        if can_grow(store.attributes):
            return _indexed_so_far(build, store)
    if not is_indexed(build) or indexed_recipe(build.store) != build.recipe:
        return None
    usable = {stream.episode_id for stream in read_index(build)}
    return _checked_report(build, usable, read_index_rejects(build))


def _indexed_so_far(build: Build, store: Store) -> IndexReport | None:
    known = known_of(build, store)
    if find_news(list(open_source(build).episodes()), known, again=False):
        return None
    return _checked_report(build, known.held.union(known.places), rejects_so_far(build, store))


def _open_same(build: Build) -> Store | None:
    """The store of this build; None where there is none yet. Raises PlanMismatchError for another recipe."""
    planned = planned_recipe(build.store)
    if planned is None:
        return None
    planned.require_same(build.recipe)
    return Store.open(build.store)


def _kept_streams(build: Build, known: Known, news: News) -> list[IndexedStream]:
    """What was indexed before and is not looked at again, without what is gone from the source."""
    kept = known.places.keys() - {ref.episode_id for ref in news.refs} - news.gone
    return read_index(build, kept) if kept else []


def _kept_rejects(known: Known, news: News) -> list[Reject]:
    dropped = {ref.episode_id for ref in news.refs} | news.gone
    return [r for r in known.rejects if r.episode_id not in dropped] + list(news.doubles)


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
    if is_indexed(build) and not is_as_indexed(build, streams):
        raise PlanMismatchError(
            "The source is not what the store was planned from; nothing was changed. Leave out --step index "
            "to continue: an episode that broke since is rejected when it is encoded, and new ones are "
            "appended by the first call after the store is finished."
        )


Outcome = list[IndexedStream] | Reject


def _look_at_all(
    source: Source, refs: Sequence[EpisodeRef], build: Build, on_progress: Progress | None
) -> tuple[list[IndexedStream], list[Reject]]:
    """What is usable and what is not, each in the order of `refs`."""
    outcomes: dict[int, Outcome] = {}
    for number, outcome in _looks(source, refs, build):
        outcomes[number] = outcome
        if on_progress:
            on_progress(len(outcomes), len(refs))
    in_order = [outcomes[number] for number in range(len(refs))]
    streams = [stream for outcome in in_order if not isinstance(outcome, Reject) for stream in outcome]
    return streams, [outcome for outcome in in_order if isinstance(outcome, Reject)]


def _looks(source: Source, refs: Sequence[EpisodeRef], build: Build) -> Iterator[tuple[int, Outcome]]:
    """The number of each episode and what was found, as it is found: a stuck one holds up no other.

    One child process a core, and as many threads that hand episodes to them.
    """
    num_processes = os.cpu_count() or 1
    numbers = iter(range(len(refs)))
    working: dict[Future[Outcome], int] = {}
    with (
        ThreadPoolExecutor(num_processes) as pool,
        ForeignReader(num_processes=num_processes, timeout_seconds=build.read_timeout_seconds) as reader,
    ):
        while True:
            for number in islice(numbers, 2 * num_processes - len(working)):
                working[pool.submit(_look, source, refs, number, build, reader)] = number
            if not working:
                return
            for future in wait(working, return_when=FIRST_COMPLETED).done:
                yield working.pop(future), future.result()


def _look(
    source: Source, refs: Sequence[EpisodeRef], number: int, build: Build, reader: ForeignReader
) -> Outcome:
    """What one episode holds. Believed to be unusable only while its disk is there: see `sources.disk`."""
    for _ in range(2):
        outcome = _look_once(source, refs[number], build, reader)
        if not isinstance(outcome, Reject):
            return outcome
        require_source(build.source_root, (ref.location for ref in refs))
        require_readable(build.source_root / refs[number].location)
        if outcome.reason in TRIED_TWICE:
            break
    return outcome


def _look_once(source: Source, ref: EpisodeRef, build: Build, reader: ForeignReader) -> Outcome:
    try:
        with rejecting(ref.episode_id, "index"):
            load = partial(source.load, ref, build.recipe.cameras, build.recipe.clock)
            episode = reader.run(load, f"reading {ref.location}")
            for stream in episode.streams.values():
                verify = partial(verify_decodes, stream.video_path, stream.num_frames)
                reader.run(verify, f"decoding {stream.video_path.name}", num_frames=stream.num_frames)
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
    rejects = [double_of(episode_id, location, kept[episode_id]) for episode_id, location in sorted(doubles)]
    return [s for s in streams if s.location == kept[s.episode_id]], rejects


def _checked_report(build: Build, usable: Collection[str], rejects: Sequence[Reject]) -> IndexReport:
    report = IndexReport(
        num_usable=len(usable),
        num_rejected=len(rejects),
        rejects=dict(sorted(Counter(reject.reason for reject in rejects).items())),
    )
    listed = f"{report} Each is listed in {build.folder.name}/{REJECTS_TABLE} of the store."
    check_rejects(report.num_usable, report.num_rejected, build.max_rejects, listed)
    return report
