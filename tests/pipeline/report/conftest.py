"""A run of four updates on a tiny store whose texts and rejects are as odd as a source can make them."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.report.look import Look, look_at
from pipeline.report.read_run import read_run
from pipeline.report.strip import Strip
from pipeline.report.write import ReportFiles, write_report
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE
from store_schema.sealing import seal
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Reject, write_table
from train.recipe_defaults import recipe_for
from train.trainer import train

ODD_TASK = "<script>alert('$x_1$')</script> & \"grasp\" 積み木 https://example.org/x.js"
_RECIPE = {
    "steps": 4,
    "batch_clips": 2,
    "clip_frames": 4,
    "validate_every": 2,
    "validation_starts": 2,
    "checkpoint_every": 2,
    "warmup_steps": 1,
    "decay_steps": 1,
}


@dataclass(frozen=True)
class TrainedRun:
    """A run folder and the store it was trained on; tests share both and must not change them."""

    run: Path
    store: Path


@pytest.fixture(scope="session")
def trained(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("report")
    lengths = [(12, "train"), (14, "train"), (20, "validation"), (15, "validation")]
    store = make_store(folder / "store.zarr", trajectories=lengths)
    _make_odd(store)
    train(recipe_for("demo", **_RECIPE), store, folder / "run", device="cpu")
    return TrainedRun(folder / "run", store)


@pytest.fixture
def own_run(trained: TrainedRun, tmp_path: Path) -> TrainedRun:
    """A copy of the run, to be changed."""
    return TrainedRun(Path(shutil.copytree(trained.run, tmp_path / "run")), trained.store)


@pytest.fixture(scope="session")
def written(trained: TrainedRun) -> ReportFiles:
    return write_report(trained.run, trained.store, device="cpu")


@pytest.fixture(scope="session")
def look(trained: TrainedRun) -> Look:
    return look_at(read_run(trained.run, trained.store, device="cpu"), device="cpu")


@pytest.fixture(scope="session")
def strip(look: Look) -> Strip:
    return look.strip


def _make_odd(path: Path) -> None:
    store = Store.open(path)
    trajectories = [replace(t, task=ODD_TASK) for t in store.planned_trajectories]
    write_table(path / TRAJECTORIES_TABLE, trajectories, TRAJECTORY_SCHEMA)
    rejects = [
        Reject(episode_id=f"bad-{n}", stage="index", reason="too_short", detail="<b>3 frames</b>")
        for n in range(3)
    ]
    write_table(path / REJECTS_TABLE, rejects, REJECT_SCHEMA)
    assert store.attributes.statistics is not None
    seal(path, store.attributes, store.specs, store.attributes.statistics)
