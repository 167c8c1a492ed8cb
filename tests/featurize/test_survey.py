import shutil

import pytest

from featurize.errors import NotEnoughEpisodesError
from featurize.recipe import FeaturizeRecipe
from featurize.sources.droid_raw import DroidRaw
from featurize.survey import survey

from .build.builds import write_source
from .droid_files import DroidFolder

RECIPE = FeaturizeRecipe(num_views=2)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Six episodes of 80 rows of 1/15 s, whose grid has 21 or 22 frames by phase."""
    return write_source(tmp_path_factory.mktemp("survey") / "source", (80,) * 6)


@pytest.fixture
def damaged(source, tmp_path):
    """Two of the six have lost their rows."""
    copy = shutil.copytree(source, tmp_path / "damaged")
    for number in (1, 4):
        DroidFolder(copy / f"episode-{number}").rows.unlink()
    return copy


def test_all_of_a_small_source_is_looked_at(source):
    found = survey(DroidRaw(source), RECIPE)
    assert (found.num_episodes, found.num_sampled, found.rejects) == (6, 6, {})
    assert found.workload.trajectories.value == found.workload.slots.value == 12
    assert found.workload.frames.value == sum(t.num_frames for t in found.trajectories)
    assert found.workload.video_frames.value == 6 * 80
    assert found.workload.frames.formula == "sum over 6 episodes"


def test_a_sample_is_scaled_up_to_all_episodes(source):
    found = survey(DroidRaw(source), RECIPE, sample_episodes=3)
    in_sample = sum(t.num_frames for t in found.trajectories)
    assert (found.num_episodes, found.num_sampled, len(found.streams)) == (6, 3, 3)
    assert found.workload.frames.value == 2 * in_sample
    assert found.workload.frames.formula == f"{in_sample} in the sample x 6 / 3 episodes"


def test_the_seed_draws_the_sample(source):
    drawn = {
        tuple(
            s.episode_id
            for s in survey(DroidRaw(source), FeaturizeRecipe(seed=seed), sample_episodes=3).streams
        )
        for seed in range(5)
    }
    assert len(drawn) > 1


def test_rejects_are_counted_by_reason_and_store_nothing(damaged):
    found = survey(DroidRaw(damaged), RECIPE)
    assert found.rejects == {"h5_missing": 2}
    assert found.workload.trajectories.value == 4 * 2
    assert [figure.formula for figure in found.figures if figure.name == "rejected_episodes"] == [
        "by reason: h5_missing 2"
    ]


def test_rejects_of_a_sample_are_scaled_up_too(damaged):
    found = survey(DroidRaw(damaged), RECIPE, sample_episodes=5)
    num_usable = 5 - sum(found.rejects.values())
    assert found.workload.trajectories.value == round(2 * num_usable * 6 / 5)


def test_a_copy_of_an_episode_is_not_counted_twice(source, tmp_path):
    doubled = shutil.copytree(source, tmp_path / "doubled")
    shutil.copytree(doubled / "episode-0", doubled / "episode-0-again")
    assert survey(DroidRaw(doubled), RECIPE).num_episodes == 6


def test_a_source_with_nothing_usable_says_what_was_found(damaged):
    for number in (0, 2, 3):
        DroidFolder(damaged / f"episode-{number}").rows.unlink()
    expected = (
        r"Of 6 episodes found 6 were looked at and 1 are usable; .* at least 2. Rejected: h5_missing 5\."
    )
    with pytest.raises(NotEnoughEpisodesError, match=expected):
        survey(DroidRaw(damaged), RECIPE)


def test_an_empty_source_is_told(tmp_path):
    with pytest.raises(NotEnoughEpisodesError, match="Of 0 episodes found"):
        survey(DroidRaw(tmp_path), RECIPE)
