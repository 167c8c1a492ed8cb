"""Growing a drawn store: its own trajectories once more, as other episodes."""

import shutil
from dataclasses import replace
from pathlib import Path

from featurize.growth import append
from store_schema.identity import revision_uuid
from store_schema.layout import slot_path
from store_schema.ledger import record
from store_schema.sealing import seal
from store_schema.statistics import training_statistics
from store_schema.store import Store


def extend(path: Path) -> Store:
    """Append every trajectory of the store once more, as another episode and not encoded yet."""
    store = Store.open(path)
    num_trajectories, num_slots = len(store.planned_trajectories), store.attributes.num_slots
    more = [
        replace(
            trajectory,
            index=num_trajectories + trajectory.index,
            first_slot=num_slots + trajectory.first_slot,
            episode_id=f"more-{trajectory.index}",
        )
        for trajectory in store.planned_trajectories
    ]
    uuid = revision_uuid(store.attributes.fingerprint, [*store.planned_trajectories, *more])
    append(store, more, uuid=uuid)
    return Store.open(path)


def fill(store: Store) -> None:
    """Encode what `extend` appended, by copying, and seal."""
    num_new = store.attributes.num_slots // 2
    owners = {slot: trajectory for trajectory in store.planned_trajectories for slot in trajectory.slots}
    for slot in range(num_new):
        row = replace(store.ledger[slot], slot=num_new + slot, episode_id=owners[num_new + slot].episode_id)
        for file in row.files:
            spec = store.specs[file.array]
            target = store.path / slot_path(spec, row.slot)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(store.path / slot_path(spec, slot), target)
        record(store.path, row)
    filled = Store.open(store.path)
    seal(filled.path, filled.attributes, filled.specs, training_statistics(filled))
