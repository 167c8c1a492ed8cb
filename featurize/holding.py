"""Steps that write what all slots share run in one process at a time."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from featurize.recipe import Build
from store_schema.locks import hold_store

Parameters = ParamSpec("Parameters")
Report = TypeVar("Report")


def holding_store(
    step: Callable[Concatenate[Build, Parameters], Report],
) -> Callable[Concatenate[Build, Parameters], Report]:
    """The same step, which holds the store's lock while it runs; raises StoreHeldError besides its own."""

    @functools.wraps(step)
    def held(build: Build, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Report:
        with hold_store(build.store):
            return step(build, *args, **kwargs)

    return held
