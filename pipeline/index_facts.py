"""What is said of a store of which only `index` has run."""

from collections import Counter
from pathlib import Path
from typing import Any

from featurize.index_table import INDEX_SCHEMA, INDEX_TABLE
from featurize.recipe import indexed_recipe
from store_schema.format import BUILD_FOLDER, REJECTS_TABLE
from store_schema.tables import read_parquet, read_rejects


def is_indexed(store: Path) -> bool:
    """Whether `index` has come to its end."""
    return (store / BUILD_FOLDER / INDEX_TABLE).is_file()


def found_facts(store: Path) -> dict[str, Any]:
    """Usable episodes and camera streams, and rejects by reason. Raises SchemaError."""
    if not is_indexed(store):
        return {}
    streams = read_parquet(store / BUILD_FOLDER / INDEX_TABLE, INDEX_SCHEMA)
    rejects = read_rejects(store / BUILD_FOLDER / REJECTS_TABLE)
    return {
        "usable_episodes": len(streams.column("episode_id").unique()),
        "usable_streams": len(streams),
        "rejects": dict(sorted(Counter(reject.reason for reject in rejects).items())),
    }


def recipe_facts(store: Path) -> dict[str, Any]:
    """What the store will be made with. Raises BrokenRecipeError."""
    recipe = indexed_recipe(store)
    if recipe is None:
        return {}
    return {
        "recipe": recipe.model_dump(mode="json"),
        "clock": recipe.clock.value,
        "encoder": recipe.encoder,
        "quantisation": recipe.quantisation.value,
    }
