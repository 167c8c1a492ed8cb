"""A recipe of six short updates, and runs that read latents or encode them on the fly."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.online.source import OnlineSource
from train.metrics import read_metrics
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.trainer import train

from ...featurize.build.builds import build_at, build_store

CPU = torch.device("cpu")
RECIPE = {
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
def recipe() -> TrainRecipe:
    return recipe_for("demo", **RECIPE)


@pytest.fixture(scope="session")
def float16_store(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = build_at(tmp_path_factory.mktemp("online") / "float16.zarr", source, quantisation="float16")
    build_store(build)
    return build.store


@pytest.fixture(scope="session")
def online_source(source: Path) -> Callable[..., OnlineSource]:
    """`online_source(store)`: the source, seen by the recipe of that store."""

    def of(store: Path, source: Path = source, encoder: str | None = None) -> OnlineSource:
        return OnlineSource.of(source, store, encoder=encoder, device=CPU, needs_statistics=True)

    return of


@pytest.fixture(scope="session")
def online_run(recipe, store_states, online_source, tmp_path_factory) -> Path:
    """On a store that is only planned; not to be changed."""
    run = tmp_path_factory.mktemp("online") / "run"
    store = store_states["planned"]
    train(recipe, store, run, device="cpu", view_of=online_source(store).view)
    return run


def losses_of(run: Path) -> list[float]:
    """Of every update."""
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "train"]
