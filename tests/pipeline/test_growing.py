"""`permafrost featurize` on a store whose source has grown, and reports on the runs of before."""

import json
import shutil

import pytest

from pipeline.report.read_run import read_run
from store_schema.integrity import digest
from store_schema.store import Store
from train.recipe_defaults import recipe_for
from train.trainer import train

from ..featurize.build.builds import build_at, prepare
from ..featurize.build.growing import add_episodes
from ..featurize.droid_files import write_episode
from ..growing_store import extend, fill
from .conftest import Threads

FEW_UPDATES = {"steps": 2, "batch_clips": 2, "clip_frames": 4, "validation_starts": 3}


@pytest.fixture
def featurize(permafrost, prefect_api, source, tmp_path, monkeypatch):
    """Runs the command on a source and a store of the test's own; gives facts and what else was said."""
    monkeypatch.setattr("pipeline.workers.Workers", Threads)
    shutil.copytree(source, tmp_path / "source")

    def run():
        code, output, messages = permafrost(
            "featurize", "--source", tmp_path / "source", "--store", tmp_path / "store.zarr", "--json"
        )
        assert code == 0, messages
        return json.loads(output), messages.removeprefix(f"Prefect API: {prefect_api}\n")

    return run


def test_a_finished_store_grows_by_the_same_command_which_says_by_what(featurize, tmp_path):
    assert featurize()[1] == ""
    add_episodes(tmp_path / "source")
    facts, told = featurize()
    assert told == "Revision 2: 3 new episodes, 4 slots.\n"
    assert (facts["revision"], facts["slots"], facts["slots_done"], facts["sealed"]) == (2, 11, 11, True)
    after = digest(tmp_path / "store.zarr")
    video = write_episode(tmp_path / "source/broken", uuid="LAB+broken").video
    video.write_bytes(video.read_bytes()[:-2000])
    told = "Not in the store: 1 new episode, rejected; build/rejects.parquet in it says why.\n"
    assert featurize()[1] == told
    assert digest(tmp_path / "store.zarr") == after


def test_a_build_that_was_begun_is_finished_first_and_says_what_waits(featurize, tmp_path):
    prepare(build_at(tmp_path / "store.zarr", tmp_path / "source"))
    write_episode(tmp_path / "source/late", uuid="LAB+late")
    facts, told = featurize()
    assert (facts["revision"], facts["episodes"]) == (1, 6)
    assert told == (
        "The build was finished as it was begun. 1 new episode came to the source since: "
        "run the same command again to append what is usable.\n"
    )
    assert featurize()[1] == "Revision 2: 1 new episode, 1 slot.\n"


def test_a_report_is_about_the_revision_that_the_run_was_trained_on(make_store, tmp_path):
    trajectories = [(30, "train"), (30, "train"), (20, "validation"), (20, "validation")]
    store = make_store(tmp_path / "store.zarr", trajectories=trajectories)
    train(recipe_for("demo", **FEW_UPDATES), store, tmp_path / "run", device="cpu")
    before = read_run(tmp_path / "run", store, device="cpu")
    fill(extend(store))
    after = read_run(tmp_path / "run", store, device="cpu")
    assert Store.open(store).attributes.revision == 2
    assert after.store.attributes.revision == 1
    assert after.evaluation == before.evaluation
    assert len(after.store.trajectories) == len(before.store.trajectories) == 4
