"""In which state the store at a path is, and what comes next for it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.sentences import sentence
from store_schema.errors import StoreError, StoreNotFoundError
from store_schema.format import BUILD_FOLDER, LEDGER_FOLDER, LEDGER_TABLE, ROOT_FILE, Quantisation
from store_schema.remote_files import place_of
from store_schema.store import Store


class State(StrEnum):
    """How far a store is."""

    BEGUN = "begun"
    INDEXED = "indexed"
    PLANNED = "planned"
    CALIBRATED = "calibrated"
    PARTLY_ENCODED = "partly_encoded"
    ENCODED = "encoded"
    SEALED = "sealed"
    BEING_EXTENDED = "being_extended"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class FoundStore:
    """What lies at a path.

    opened: the store; None before `plan`, and where it is damaged. fault: what is wrong with it, then.
    """

    path: Path
    state: State
    opened: Store | None = None
    fault: str | None = None

    @property
    def next_step(self) -> str:
        """What to run next."""
        build = f"Run `permafrost featurize --source ... --store {self.path}`"
        match self.state:
            case State.BEGUN:
                return f"{build}: the source is not indexed yet, or is being indexed now."
            case State.INDEXED:
                return f"{build} to plan, calibrate, encode and seal."
            case State.PLANNED:
                return f"{build} to calibrate, encode and seal."
            case State.CALIBRATED | State.PARTLY_ENCODED | State.BEING_EXTENDED:
                return f"{build} to encode the slots that are missing, and seal."
            case State.ENCODED:
                return f"{build} to seal it."
            case State.SEALED:
                return f"Run `permafrost train --store {place_of(self.path)} --run ...`."
            case State.DAMAGED:
                return f"Run `permafrost verify {place_of(self.path)}` to list what is wrong."


def find_store(path: Path) -> FoundStore:
    """Open what there is of a store at `path`. Raises StoreNotFoundError where no part of one lies there."""
    if not path.is_dir():
        raise _not_found(path, "is a file, not a folder" if path.exists() else "does not exist")
    if not (path / ROOT_FILE).is_file():
        return _find_before_plan(path)
    try:
        store = Store.open(path)
    except (StoreError, OSError) as error:
        return FoundStore(path=path, state=State.DAMAGED, fault=sentence(error))
    return FoundStore(path=path, state=_state_of(store), opened=store)


def _find_before_plan(path: Path) -> FoundStore:
    # Here, because featurize takes seconds to import and a planned store is not in need of it.
    from pipeline.index_facts import is_indexed

    if (path / LEDGER_TABLE).is_file() or (path / LEDGER_FOLDER).is_dir():
        fault = f"{ROOT_FILE} is missing, though slots are finished. Restore the file from a copy."
        return FoundStore(path=path, state=State.DAMAGED, fault=fault)
    if not (path / BUILD_FOLDER).is_dir():
        raise _not_found(path, "holds no feature store and no part of one")
    return FoundStore(path=path, state=State.INDEXED if is_indexed(path) else State.BEGUN)


def _not_found(path: Path, what: str) -> StoreNotFoundError:
    return StoreNotFoundError(
        f"{path} {what}; `permafrost featurize --source ... --store {path}` makes a store there."
    )


def _state_of(store: Store) -> State:
    fingerprint = store.attributes.fingerprint
    if store.attributes.sealed:
        return State.SEALED
    if store.attributes.revision > 1:
        return State.BEING_EXTENDED
    if store.ledger:
        return State.PARTLY_ENCODED if store.missing_slots() else State.ENCODED
    if fingerprint.quantisation is Quantisation.INT8 and fingerprint.channel_statistics_sha256 is None:
        return State.PLANNED
    return State.CALIBRATED
