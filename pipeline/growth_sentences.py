"""What a call of `featurize` added to a store, and what it left for the next call, in sentences."""

from dataclasses import dataclass
from pathlib import Path

from featurize.estimate import counted
from featurize.growth import can_grow
from featurize.index import open_source
from featurize.new_episodes import find_news, known_of, rejects_so_far
from featurize.recipe import Build
from pipeline.store_facts import num_episodes
from store_schema.errors import StoreNotFoundError
from store_schema.store import Store


@dataclass(frozen=True, kw_only=True)
class FoundBefore:
    """How a call found the store: its sealed revisions, and whether there was a plan to be finished first."""

    num_sealed: int
    was_unfinished: bool

    @classmethod
    def at(cls, store: Path) -> "FoundBefore":
        """Raises StoreError for a damaged one."""
        try:
            attributes = Store.open(store).attributes
        except StoreNotFoundError:
            return cls(num_sealed=0, was_unfinished=False)
        num_sealed = attributes.revision if attributes.sealed else attributes.revision - 1
        return cls(num_sealed=num_sealed, was_unfinished=not can_grow(attributes))


def growth_sentences(build: Build, before: FoundBefore) -> list[str]:
    """One for each thing worth telling of a store that is sealed now; none for most calls."""
    store = Store.open(build.store)
    sentences = []
    if 0 < before.num_sealed < store.attributes.revision:
        sentences.append(_added(store))
    num_rejected = len(set(rejects_so_far(build, store)) - set(store.rejects))
    if num_rejected:
        sentences.append(
            f"Not in the store: {counted(num_rejected, 'new episode')}, rejected; "
            f"{build.folder.name}/rejects.parquet in it says why."
        )
    num_new = _num_new(build, store) if before.was_unfinished else 0
    if num_new:
        sentences.append(
            f"The build was finished as it was begun. {counted(num_new, 'new episode')} came to the source "
            "since: run the same command again to append what is usable."
        )
    return sentences


def _added(store: Store) -> str:
    attributes = store.attributes
    last = attributes.earlier_revisions[-1]
    num_added = num_episodes([t for t in store.trajectories if t.index >= last.num_trajectories])
    num_slots = attributes.num_slots - last.num_slots
    return (
        f"Revision {attributes.revision}: {counted(num_added, 'new episode')}, {counted(num_slots, 'slot')}."
    )


def _num_new(build: Build, store: Store) -> int:
    listed = list(open_source(build).episodes())
    return len(find_news(listed, known_of(build, store), again=False).refs)
