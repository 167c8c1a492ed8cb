"""What a source lists beyond what a store and its index know already; no file is opened for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from featurize.errors import PlanMismatchError
from featurize.growth import can_grow, sealed_trajectories
from featurize.index_table import is_indexed, read_index_rejects, read_places
from featurize.planned import source_record
from featurize.recipe import Build
from featurize.rejects import RejectReason, printable
from featurize.sources.protocol import EpisodeRef, Source
from store_schema.store import Store
from store_schema.tables import Reject


@dataclass(frozen=True, kw_only=True)
class Known:
    """What need not be looked at again.

    held: ids of the episodes in the sealed part of the store. places: the folder of every usable episode
    that is indexed, by id. rejects: of `index`. recorded: those of the store, whatever the source lists now.
    """

    held: frozenset[str]
    places: Mapping[str, str]
    rejects: tuple[Reject, ...]
    recorded: frozenset[Reject]


@dataclass(frozen=True, kw_only=True)
class News:
    """How a source differs from what is known.

    refs: episodes to look at. doubles: rejects of folders that repeat an episode which is kept. gone: ids
    that were indexed, but neither stored nor listed any more.
    """

    refs: tuple[EpisodeRef, ...]
    doubles: tuple[Reject, ...]
    gone: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.refs or self.doubles or self.gone)


NOTHING_KNOWN = Known(held=frozenset(), places={}, rejects=(), recorded=frozenset())


def known_of(build: Build, store: Store) -> Known:
    """What the store of a build and its index know.

    While slots are being encoded only the sealed part counts, since the rest is to be indexed as it was.
    """
    held = frozenset(trajectory.episode_id for trajectory in sealed_trajectories(store))
    places = read_places(build)
    if not can_grow(store.attributes):
        places = {episode_id: place for episode_id, place in places.items() if episode_id in held}
    return Known(
        held=held, places=places, rejects=rejects_so_far(build, store), recorded=frozenset(store.rejects)
    )


def rejects_so_far(build: Build, store: Store) -> tuple[Reject, ...]:
    """The rejects of `index`: from its own table, or, for a store that came without it, from the store's."""
    if is_indexed(build):
        return read_index_rejects(build)
    return tuple(reject for reject in store.rejects if reject.stage == "index")


def find_news(refs: Sequence[EpisodeRef], known: Known, *, again: bool) -> News:
    """Sort what a source lists.

    again: also give the episodes that were rejected, and those held whose folder is not known or has moved.
    """
    listed = {(ref.episode_id, ref.location) for ref in refs}
    rejected = {r.episode_id for r in known.rejects if r.reason != RejectReason.DUPLICATE_EPISODE}
    new: list[EpisodeRef] = []
    doubles: list[Reject] = []
    for ref in refs:
        place = known.places.get(ref.episode_id)
        if place == ref.location:
            continue
        if place is not None and (ref.episode_id, place) in listed:
            doubles.append(double_of(ref.episode_id, ref.location, place))
        elif again or ref.episode_id not in known.held | rejected:
            new.append(ref)
    unknown = [d for d in doubles if d.episode_id not in rejected and d not in known.rejects]
    return News(refs=tuple(new), doubles=tuple(unknown), gone=_gone(listed, known))


def double_of(episode_id: str, location: str, kept: str) -> Reject:
    """The reject of a folder that holds the same episode as the folder `kept`."""
    return Reject(
        episode_id=episode_id,
        stage="index",
        reason=RejectReason.DUPLICATE_EPISODE,
        detail=f"Folder {printable(location)} holds the same episode as {kept}, which is kept.",
    )


def require_same_source(store: Store, source: Source) -> None:
    """Raise PlanMismatchError where a store would get episodes of another attribution or licence."""
    credited = [store.attributes.source, *(origin.source for origin in store.attributes.merged_from)]
    if source_record(source) not in credited:
        raise PlanMismatchError(
            f"The store credits its episodes to '{credited[0].attribution}', the new ones come with "
            f"'{source.attribution}' or another licence; nothing was changed. Build them into another "
            "--store and join the two with `permafrost merge`, which keeps both credits."
        )


def _gone(listed: Collection[tuple[str, str]], known: Known) -> frozenset[str]:
    listed_ids = {episode_id for episode_id, _ in listed}
    indexed = {
        episode_id
        for episode_id, place in known.places.items()
        if episode_id not in known.held and (episode_id, place) not in listed
    }
    rejected = {r.episode_id for r in known.rejects if r not in known.recorded} - listed_ids
    return frozenset(indexed | rejected)
