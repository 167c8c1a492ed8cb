"""The measures of a run as they are nested in its evaluation, by name, and set against those of another run.

A tree holds `TrajectorySums` under keys and in lists; a name is the way there, as in
'prediction/ratio_to/copy_last_frame/0'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from train.measures.intervals import TrajectorySums

SumsByName = dict[str, TrajectorySums]


def as_json(tree: Any) -> Any:
    """The tree with intervals in place of sums."""
    if isinstance(tree, TrajectorySums):
        return tree.to_json()
    if isinstance(tree, Mapping):
        return {key: as_json(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [as_json(value) for value in tree]
    return tree


def by_name(tree: Any) -> SumsByName:
    """All sums of a tree."""
    return dict(_named(tree, ()))


def differences(assessment: Any, sums: SumsByName, of_first: SumsByName) -> Any:
    """`assessment`, of the run with `sums`, with intervals of differences to the first in their place.

    What has no interval, or was not measured on the same starts, is left out; horizons stay. None where
    nothing is left.
    """
    return _differences(assessment, sums, of_first, ())


def _differences(value: Any, sums: SumsByName, of_first: SumsByName, way: tuple[str, ...]) -> Any:
    if way and way[-1] == "horizons":
        return value
    if isinstance(value, Mapping) and "low" in value:
        own, first = (of.get("/".join(way)) for of in (sums, of_first))
        found = own.minus(first) if own and first else None
        return found and found.to_json()
    if isinstance(value, Mapping):
        parts = {key: _differences(part, sums, of_first, (*way, key)) for key, part in value.items()}
        return {key: part for key, part in parts.items() if part is not None} or None
    if isinstance(value, list):
        return [_differences(part, sums, of_first, (*way, str(at))) for at, part in enumerate(value)]
    return None


def _named(tree: Any, way: tuple[str, ...]) -> Iterator[tuple[str, TrajectorySums]]:
    if isinstance(tree, TrajectorySums):
        yield "/".join(way), tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _named(value, (*way, key))
    elif isinstance(tree, list):
        for at, value in enumerate(tree):
            yield from _named(value, (*way, str(at)))
