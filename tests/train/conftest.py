"""What the tests of the loop share: a recipe of a few short steps."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

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


@pytest.fixture
def cuda_device() -> torch.device:
    """A GPU; without one the test is skipped, or fails where one was promised."""
    if not torch.cuda.is_available():
        if os.environ.get("PERMAFROST_EXPECT_GPU") == "1":
            pytest.fail("PERMAFROST_EXPECT_GPU=1 promises a CUDA device, and there is none")
        pytest.skip("no CUDA device")
    return torch.device("cuda")
