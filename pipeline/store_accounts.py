"""As much as can be said of a store in any state: a short account for `status`, a long one for `inspect`."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from featurize.errors import BrokenRecipeError
from pipeline.build_rate import build_rate
from pipeline.sentences import sentence
from pipeline.store_facts import (
    frames_of_slots,
    identity_facts,
    num_episodes,
    split_facts,
    state_facts,
    store_facts,
)
from pipeline.store_states import FoundStore, State
from store_schema.attributes import StoreAttributes
from store_schema.errors import StoreError
from store_schema.format import BUILD_FOLDER, REJECTS_TABLE, TRAJECTORIES_TABLE
from store_schema.layout import read_attributes
from store_schema.ledger import read_ledger
from store_schema.locks import holder_of
from store_schema.store import Store
from store_schema.tables import read_rejects, read_trajectories

Facts = dict[str, Any]

STATUS_NAMES: Final = (
    *("state", "faults", "usable_episodes", "usable_streams"),
    *("episodes", "planned_episodes", "trajectories", "planned_trajectories", "frames", "planned_frames"),
    *("hours", "planned_hours", "slots", "slots_done", "frames_per_second", "seconds_left", "idle_seconds"),
    *("bytes", "planned_bytes", "bytes_per_frame", "rejects", "sealed", "revision", "held_by"),
    *("fingerprint", "clock", "encoder", "next_step"),
)
INSPECT_NAMES: Final = (
    *STATUS_NAMES,
    *("splits", "uuid", "encoder_details", "preprocessing", "frame_rate_hz", "quantisation", "source"),
    *("recipe", "library_versions", "code_version"),
)


def status_account(found: FoundStore) -> Facts:
    """Every name of `STATUS_NAMES`; None where it does not apply or cannot be read.

    frames_per_second, seconds_left, idle_seconds: as of `BuildRate`; None unless slots are missing.
    """
    return _account(found, STATUS_NAMES, lambda store: store_facts(store) | _rate_facts(store))


def inspect_account(found: FoundStore) -> Facts:
    """Every name of `INSPECT_NAMES`."""

    def of_opened(store: Store) -> Facts:
        more = identity_facts(store.attributes) | {"splits": split_facts(store)}
        return store_facts(store) | _rate_facts(store) | more

    return _account(found, INSPECT_NAMES, of_opened)


def _account(found: FoundStore, names: tuple[str, ...], of_opened: Callable[[Store], Facts]) -> Facts:
    faults = [] if found.fault is None else [found.fault]
    if found.opened is not None:
        facts = of_opened(found.opened)
    else:
        facts, further = _salvaged(found.path, _parts(found.state))
        faults += [fault for fault in further if fault not in faults]
    holder = holder_of(found.path / BUILD_FOLDER)
    facts["held_by"] = None if holder is None else str(holder)
    facts |= {"state": found.state.value, "faults": faults, "next_step": found.next_step}
    return {name: facts.get(name) for name in names}


def _rate_facts(store: Store) -> Facts:
    planned = frames_of_slots(store.planned_trajectories)
    missing = store.missing_slots()
    if not missing:
        return {}
    missing_frames = sum(planned.get(slot, 0) for slot in missing)
    return vars(build_rate(store.path, planned, missing_frames))


Part = Callable[[Path], Facts]


def _parts(state: State) -> tuple[Part, ...]:
    """What tells something of a store that does not open, each part by itself."""
    if state is State.DAMAGED:
        return (_attribute_facts, _plan_facts, _ledger_facts, _reject_facts)
    from pipeline.index_facts import found_facts, recipe_facts

    return (found_facts, recipe_facts)


def _salvaged(path: Path, parts: tuple[Part, ...]) -> tuple[Facts, list[str]]:
    """What the parts tell, and what is wrong with those that cannot."""
    facts: Facts = {}
    faults = []
    for part in parts:
        try:
            facts |= part(path)
        except (StoreError, BrokenRecipeError, OSError) as error:
            faults.append(sentence(error))
    return facts, faults


def _attribute_facts(path: Path) -> Facts:
    attributes = StoreAttributes.parse(read_attributes(path))
    return state_facts(attributes) | identity_facts(attributes)


def _plan_facts(path: Path) -> Facts:
    trajectories = read_trajectories(path / TRAJECTORIES_TABLE)
    return {
        "planned_episodes": num_episodes(trajectories),
        "planned_trajectories": len(trajectories),
        "planned_frames": sum(trajectory.num_frames for trajectory in trajectories),
    }


def _ledger_facts(path: Path) -> Facts:
    ledger = read_ledger(path)
    return {"slots_done": len(ledger), "frames": sum(ledger.written_frames.values())}


def _reject_facts(path: Path) -> Facts:
    rejects = read_rejects(path / REJECTS_TABLE)
    return {"rejects": dict(sorted(Counter(reject.reason for reject in rejects).items()))}
