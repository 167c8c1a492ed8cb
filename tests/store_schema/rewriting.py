"""A store again under other names, sealed as if it had been built so."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from store_schema.format import TRAJECTORIES_TABLE
from store_schema.identity import revision_uuid
from store_schema.ledger import record
from store_schema.sealing import seal
from store_schema.store import Store
from store_schema.tables import TRAJECTORY_SCHEMA, write_table


def with_other_episodes(store_path: Path, out: Path, *, suffix: str = "-b", **changes: Any) -> Path:
    """A copy whose episodes have a suffix to their ids, and whose trajectories differ by `changes`."""
    shutil.copytree(store_path, out)
    store = Store.open(out)
    table = [replace(t, episode_id=t.episode_id + suffix, **changes) for t in store.planned_trajectories]
    write_table(out / TRAJECTORIES_TABLE, table, TRAJECTORY_SCHEMA)
    for slot in store.ledger:
        record(out, replace(store.ledger[slot], episode_id=store.ledger[slot].episode_id + suffix))
    uuid = revision_uuid(store.attributes.fingerprint, table)
    assert store.attributes.statistics is not None
    attributes = store.attributes.model_copy(update={"uuid": uuid})
    seal(out, attributes, store.specs, store.attributes.statistics)
    return out
