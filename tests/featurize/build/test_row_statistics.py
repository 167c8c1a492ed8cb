"""Statistics from rows alone are those that `finalise` takes from the finished store."""

import shutil

import pytest

from featurize.errors import SourceMovedError, StepOrderError
from featurize.rejects import EpisodeRejected
from featurize.row_statistics import row_statistics
from store_schema.store import Store

from .builds import build_at, folder_of, planned


def test_they_are_to_the_bit_what_finalise_stores(finished):
    store = Store.open(finished.store)
    computed = row_statistics(finished, store.planned_trajectories)
    assert computed.states == store.attributes.statistics.states
    assert computed.actions == store.attributes.statistics.actions


def test_every_view_of_an_episode_counts(source, encoder, tmp_path):
    builds = [build_at(tmp_path / f"{n}.zarr", source, num_views=n) for n in (1, 3)]
    trajectories = [Store.open(planned(build, encoder).store).planned_trajectories for build in builds]
    one, three = (row_statistics(b, ts) for b, ts in zip(builds, trajectories, strict=True))
    assert one.states.mean != three.states.mean
    assert one.states.mean == pytest.approx(three.states.mean, rel=0.05)


def test_the_held_out_part_does_not_enter(finished):
    store = Store.open(finished.store)
    training = store.split("train")
    assert row_statistics(finished, training) == row_statistics(finished, store.planned_trajectories)


def test_an_episode_that_changed_since_the_index_is_told(finished, source, tmp_path):
    own = shutil.copytree(source, tmp_path / "source")
    trajectories = Store.open(finished.store).split("train")
    folder_of(own, trajectories[0].episode_id).edit_metadata(success=False)
    with pytest.raises(EpisodeRejected, match=r"Episode LAB\+0\+2023-07-07: .* differ from what the plan"):
        row_statistics(finished.model_copy(update={"source_root": own}), trajectories)


def test_a_source_that_is_not_there_is_told(finished, tmp_path):
    trajectories = Store.open(finished.store).planned_trajectories
    with pytest.raises(SourceMovedError, match="No episode that was indexed lies under"):
        row_statistics(finished.model_copy(update={"source_root": tmp_path}), trajectories)


def test_an_episode_that_is_not_indexed_is_told(finished, source, encoder, tmp_path):
    listed = tmp_path / "some.txt"
    listed.write_text("episode-0\nepisode-1\nepisode-2\n")
    build = build_at(tmp_path / "few.zarr", source).model_copy(update={"episode_list": listed})
    trajectories = Store.open(finished.store).planned_trajectories
    with pytest.raises(StepOrderError, match="3 streams are not in the index of this source, the first of"):
        row_statistics(planned(build, encoder), trajectories)
