"""What the tests of the loop share: a recipe of a few short steps."""

from collections.abc import Callable
from typing import Any

import pytest

from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for

_TINY = {
    "steps": 6,
    "batch_clips": 4,
    "micro_batch_clips": 2,
    "clip_frames": 4,
    "validate_every": 3,
    "validation_starts": 3,
    "checkpoint_every": 2,
    "warmup_steps": 1,
    "decay_steps": 1,
}


@pytest.fixture(scope="session")
def tiny_recipe() -> Callable[..., TrainRecipe]:
    """`tiny_recipe(name=value, ...)`: six updates of four clips, with the fields given replaced."""

    def make(**chosen: Any) -> TrainRecipe:
        return recipe_for("demo", **{**_TINY, **chosen})

    return make
