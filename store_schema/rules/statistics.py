"""Statistics that a store records, with what its arrays hold."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from store_schema.attributes import TrainingStatistics
from store_schema.errors import SchemaError
from store_schema.format import ROOT_FILE
from store_schema.problem import Problem
from store_schema.store import Store

# Sums run in another order on other processors.
RELATIVE_TOLERANCE: Final = 1e-6
ABSOLUTE_TOLERANCE: Final = 1e-9


def has_its_channel_statistics(store: Store) -> Iterator[Problem]:
    """F6. `channel_mean`, `channel_std` MUST have the SHA-256 of the fingerprint, each std 1e-4 at least."""
    if store.attributes.fingerprint.channel_statistics_sha256 is None:
        return
    where = "channel_mean, channel_std"
    try:
        statistics = store.channel_statistics
    except (SchemaError, OSError, ValueError) as error:
        yield Problem(kind="wrong_statistics", where=where, detail=str(error))
        return
    from store_schema.quantisation import STD_FLOOR

    if statistics is not None and not bool((statistics.std_D >= STD_FLOOR).all()):
        detail = (
            f"A standard deviation is less than {STD_FLOOR} or NaN; format 1 requires that much at least."
        )
        yield Problem(kind="wrong_statistics", where=where, detail=detail)


def has_its_training_statistics(recorded: TrainingStatistics, found: TrainingStatistics) -> Iterator[Problem]:
    """V12. `statistics` MUST be those of the training split, but for the order of summation."""
    ours, theirs = recorded.model_dump(), found.model_dump()
    for name in ours:
        if not _is_close(ours[name], theirs[name]):
            yield Problem(
                kind="wrong_statistics",
                where=f"{ROOT_FILE}, attribute statistics.{name}",
                detail=f"Recorded are {ours[name]}; the training split has {theirs[name]}.",
            )


def _is_close(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return all(_is_close(ours[name], theirs[name]) for name in ours)
    if np.shape(ours) != np.shape(theirs):
        return False
    return bool(np.allclose(ours, theirs, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE))
