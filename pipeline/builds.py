"""The options of `permafrost featurize` as what the steps of a build take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurize.encoder.registry import encoder_spec
from featurize.recipe import Build, FeaturizeRecipe, resolve_recipe
from pipeline.errors import OptionError
from pipeline.workers import Workers


def build_of(options: Mapping[str, Any]) -> Build:
    """A build from options by name. Those of the recipe that are left out, or None, continue the store.

    Raises pydantic's ValidationError, UnknownEncoderError, BrokenRecipeError and PlanMismatchError.
    """
    # Its `source` is a format, the option a folder.
    given = {name: options.get(name) for name in FeaturizeRecipe.model_fields.keys() - {"source"}}
    if given["cameras"] is not None:
        given["cameras"] = tuple(options["cameras"].split(","))
    places = {name: options[name] for name in Build.model_fields.keys() & options.keys()}
    places["source_root"] = options["source"]
    absolute: dict[str, Any] = {
        name: at.absolute() if isinstance(at, Path) else at for name, at in places.items()
    }
    build = Build(recipe=resolve_recipe(absolute["store"], given), **absolute)
    encoder_spec(build.recipe.encoder)
    return build


def workers_of(options: Mapping[str, Any]) -> Workers:
    """Where `encode` runs. Raises pydantic's ValidationError."""
    return Workers(num_workers=options["workers"], dask_address=options["dask_address"])


def slots_of(text: str | None) -> list[int] | None:
    """Numbers with commas between. Raises OptionError."""
    if text is None:
        return None
    numbers = text.split(",")
    if not all(number.strip().isdecimal() for number in numbers):
        raise OptionError(f"--slots takes numbers with commas between, such as 3,7; got '{text}'.")
    return [int(number) for number in numbers]
