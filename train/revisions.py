"""Which revision of a store a run is about: a store may have grown since, or be growing now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from store_schema.errors import RevisionError
from store_schema.store import Store
from train.checkpoint import read_tensors


def revision_to_train_on(store: Store, number: int | None) -> Store:
    """Revision `number` of the store; without one the last that is sealed, or the first while it is built.

    Raises RevisionError, also for a later revision that is not sealed yet: what it holds still changes.
    """
    if number is None:
        return store.sealed_view()
    chosen = store.at_revision(number)
    if number > 1 and not chosen.attributes.sealed:
        raise RevisionError(
            f"Revision {number} of store {store.path.name} is not sealed yet. Finish it with `permafrost "
            f"featurize`, or choose one of 1 to {number - 1}."
        )
    return chosen


def revision_trained_on(store: Store, trained_on: Mapping[str, Any]) -> Store:
    """The revision that a run names by its uuid; the last sealed one where the store has no such."""
    attributes = store.attributes
    numbers = {attributes.uuid: attributes.revision}
    # An append that was only begun still has the uuid of the sealed revision, and that one is meant.
    numbers |= {earlier.uuid: n for n, earlier in enumerate(attributes.earlier_revisions, start=1)}
    number = numbers.get(str(trained_on.get("store_uuid")))
    return store.sealed_view() if number is None else store.at_revision(number)


def trained_on_of(checkpoint_path: Path) -> Mapping[str, Any]:
    """What a checkpoint says it was trained on, its tensors left on disk. Raises CheckpointError."""
    trained_on = read_tensors(checkpoint_path, mapped=True).get("trained_on")
    # Anything else is told by name when the checkpoint is loaded whole.
    return trained_on if isinstance(trained_on, Mapping) else {}
