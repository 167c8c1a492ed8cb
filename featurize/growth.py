"""A sealed store that grows: what it grows out of, and the writes that append to it or take that back.

An append says first that the store is no longer sealed and counts what it always counted, then writes tables
and arrays that are longer than that, and counts the new trajectories last. Killed in between, the store opens
with its sealed revision whole. No file of a finished slot is written.
"""

from collections.abc import Sequence

from featurize.planned import versions
from store_schema.attributes import Revision, StoreAttributes
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE
from store_schema.layout import write_arrays, write_attributes
from store_schema.sealing import seal
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Reject, Trajectory, write_table


def is_begun(attributes: StoreAttributes) -> bool:
    """Whether an append was begun that counts nothing yet: it still has the name of the sealed revision."""
    earlier = attributes.earlier_revisions
    return not attributes.sealed and bool(earlier) and earlier[-1].uuid == attributes.uuid


def can_grow(attributes: StoreAttributes) -> bool:
    """Whether all that is planned is sealed, so that new episodes can be appended."""
    return attributes.sealed or is_begun(attributes)


def sealed_trajectories(store: Store) -> tuple[Trajectory, ...]:
    """What was planned up to the last sealed revision; nothing while the first one is being built."""
    if can_grow(store.attributes):
        return store.planned_trajectories
    earlier = store.attributes.earlier_revisions
    return store.planned_trajectories[: earlier[-1].num_trajectories] if earlier else ()


def append(store: Store, more: Sequence[Trajectory], *, uuid: str) -> None:
    """Plan `more` trajectories after those of a store that can grow, as revision `uuid`."""
    begun = _begin(store)
    trajectories = [*store.planned_trajectories, *more]
    num_slots = trajectories[-1].slots.stop
    write_table(store.path / TRAJECTORIES_TABLE, trajectories, TRAJECTORY_SCHEMA)
    write_arrays(store.path, store.specs, num_slots)
    grown = {"uuid": uuid, "num_slots": num_slots, "num_trajectories": len(trajectories), **versions()}
    _write(store, begun.model_copy(update=grown))


def take_back(store: Store) -> None:
    """Return from an append that was begun to the sealed revision; equal to it by digest."""
    attributes = store.attributes
    assert is_begun(attributes)
    sealed = attributes.before(attributes.revision - 1)
    assert sealed.statistics is not None
    write_table(store.path / TRAJECTORIES_TABLE, store.planned_trajectories, TRAJECTORY_SCHEMA)
    write_arrays(store.path, store.specs, sealed.num_slots)
    seal(store.path, sealed, store.specs, sealed.statistics)


def record_rejects(store: Store, by_index: Sequence[Reject]) -> None:
    """Let the rejects of a store that is not sealed be these, and those of `encode` in sealed revisions."""
    by_encode = [reject for reject in store.rejects if reject.stage == "encode"]
    rejects = sorted([*by_index, *by_encode], key=lambda reject: (reject.episode_id, reject.detail))
    if rejects != list(store.rejects):
        write_table(store.path / REJECTS_TABLE, rejects, REJECT_SCHEMA)


def _begin(store: Store) -> StoreAttributes:
    attributes = store.attributes
    if is_begun(attributes):
        return attributes
    sealed = {name: getattr(attributes, name) for name in Revision.model_fields}
    # The number of trajectories may be None in a store of before there were revisions.
    sealed["num_trajectories"] = len(store.planned_trajectories)
    revisions = (*attributes.earlier_revisions, Revision(**sealed))
    # Files and statistics describe what was sealed, and the tables are about to be longer than that.
    unsealed = {"sealed": False, "files": None, "statistics": None}
    counted = {"num_trajectories": len(store.planned_trajectories), "earlier_revisions": revisions}
    begun = attributes.model_copy(update=unsealed | counted)
    _write(store, begun)
    return begun


def _write(store: Store, attributes: StoreAttributes) -> None:
    write_attributes(store.path, attributes.model_dump(mode="json"))
