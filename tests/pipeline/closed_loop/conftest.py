"""A small store of sample data in the crop that the loop sees, and a run of two updates on it."""

from pathlib import Path

import pytest

from featurize.demo_data import write_demo_data
from pipeline.closed_loop.policies import Zero
from train.recipe_defaults import recipe_for
from train.trainer import train

from ...featurize.build.builds import build_at, build_store

_RECIPE = {
    "steps": 2,
    "batch_clips": 2,
    "clip_frames": 4,
    "validate_every": 2,
    "validation_starts": 2,
    "checkpoint_every": 2,
    "warmup_steps": 1,
    "decay_steps": 1,
}


@pytest.fixture(scope="package")
def world_build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_demo_data(folder / "source", num_episodes=4, seed=0, width_px=160, height_px=90, workers=1)
    build = build_at(folder / "store.zarr", folder / "source", crop="official", quantisation="float16")
    build_store(build)
    return build


@pytest.fixture(scope="package")
def world_run(world_build) -> Path:
    run = world_build.store.with_name("run")
    train(recipe_for("demo", **_RECIPE), world_build.store, run, device="cpu")
    return run


@pytest.fixture
def zero() -> Zero:
    return Zero()
