"""Everything random is drawn here: once, from one seed, for each trajectory by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.clock import Clock
from featurize.crop import CropPolicy
from featurize.errors import NotEnoughEpisodesError
from featurize.index_table import IndexedStream
from featurize.plan import draw_splits, draw_trajectories
from featurize.recipe import FeaturizeRecipe
from store_schema.format import SLOT_FRAMES

LAYOUT_FIELDS = {"index", "first_slot", "split"}


def stream(episode_id, *, camera="left", num_rows=80, height_px=180, width_px=320):
    return IndexedStream(
        episode_id=episode_id,
        location=episode_id,
        lab="LAB",
        task="",
        success=True,
        camera=camera,
        decoder="pyav",
        num_rows=num_rows,
        height_px=height_px,
        width_px=width_px,
        nominal_hz=60.0,
        capture_seconds=np.arange(num_rows) / 15,
    )


episode_ids = st.lists(
    st.text("abcdef0123456789", min_size=1, max_size=6), min_size=2, max_size=12, unique=True
)


@st.composite
def indexes(draw):
    """Streams as `read_index` gives them: ordered, one or two cameras, odd sizes."""
    sizes = st.integers(64, 800)
    cameras = draw(st.sampled_from([("left",), ("left", "wrist")]))
    return [
        stream(
            episode_id,
            camera=camera,
            num_rows=draw(st.integers(62, 2100)),
            height_px=draw(sizes),
            width_px=draw(sizes),
        )
        for episode_id in sorted(draw(episode_ids))
        for camera in cameras
    ]


recipes = st.builds(
    FeaturizeRecipe,
    seed=st.integers(0, 2**40),
    num_views=st.integers(1, 3),
    crop=st.sampled_from(CropPolicy),
    clock=st.just(Clock.PHYSICAL),
)


def drawn(trajectory):
    """What is drawn for the trajectory, without its place in the store."""
    return {name: value for name, value in vars(trajectory).items() if name not in LAYOUT_FIELDS}


@given(indexes(), recipes)
def test_slots_are_dense_and_belong_to_one_trajectory_each(streams, recipe):
    trajectories = draw_trajectories(streams, recipe)
    slots = [slot for trajectory in trajectories for slot in trajectory.slots]
    assert slots == list(range(len(slots)))
    assert [trajectory.index for trajectory in trajectories] == list(range(len(trajectories)))
    frames = [
        len(trajectory.frames_of_slot(slot)) for trajectory in trajectories for slot in trajectory.slots
    ]
    assert sum(frames) == sum(trajectory.num_frames for trajectory in trajectories)
    assert all(1 <= count <= SLOT_FRAMES for count in frames)


@given(indexes(), recipes)
def test_every_stream_gets_its_views_with_a_phase_and_a_crop_in_range(streams, recipe):
    trajectories = draw_trajectories(streams, recipe)
    expected = [(s, view) for s in streams for view in range(recipe.num_views)]
    assert len(trajectories) == len(expected)
    for trajectory, (s, view) in zip(trajectories, expected, strict=True):
        assert (trajectory.episode_id, trajectory.camera, trajectory.view) == (s.episode_id, s.camera, view)
        assert 0 <= trajectory.phase < 1
        assert trajectory.num_frames == len(s.rows_at(recipe.clock, trajectory.phase)) >= 16
        assert trajectory.crop_top_px >= 0
        assert trajectory.crop_left_px >= 0
        assert 0 < trajectory.crop_height_px <= s.height_px - trajectory.crop_top_px
        assert 0 < trajectory.crop_width_px <= s.width_px - trajectory.crop_left_px


@given(indexes(), recipes, st.data())
def test_what_an_episode_draws_does_not_depend_on_the_others(streams, recipe, data):
    ids = sorted({s.episode_id for s in streams})
    kept = data.draw(st.sets(st.sampled_from(ids), min_size=2))
    whole = {t.episode_id: [] for t in draw_trajectories(streams, recipe)}
    for trajectory in draw_trajectories(streams, recipe):
        whole[trajectory.episode_id].append(drawn(trajectory))
    part = draw_trajectories([s for s in streams if s.episode_id in kept], recipe)
    for episode_id in kept:
        assert [drawn(t) for t in part if t.episode_id == episode_id] == whole[episode_id]


@given(indexes(), recipes)
def test_more_views_leave_the_first_ones_as_they_were(streams, recipe):
    more = recipe.model_copy(update={"num_views": recipe.num_views + 1})
    first = [drawn(t) for t in draw_trajectories(streams, recipe)]
    assert [drawn(t) for t in draw_trajectories(streams, more) if t.view < recipe.num_views] == first


@given(indexes(), recipes)
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(streams, recipe):
    plan = draw_trajectories(streams, recipe)
    assert draw_trajectories(streams, recipe) == plan
    other = draw_trajectories(streams, recipe.model_copy(update={"seed": recipe.seed + 1}))
    assert [t.phase for t in other] != [t.phase for t in plan]
    # Which episodes are held out does not depend on it, so that runs over several stores can be compared.
    assert [t.split for t in other] == [t.split for t in plan]


def test_views_cameras_and_episodes_do_not_share_their_draws():
    streams = [stream(name, camera=camera) for name in ("a", "b") for camera in ("left", "wrist")]
    phases = [t.phase for t in draw_trajectories(streams, FeaturizeRecipe(num_views=3))]
    assert len(set(phases)) == 12


@given(indexes(), recipes)
def test_all_trajectories_of_an_episode_are_on_the_same_side(streams, recipe):
    sides = {(t.episode_id, t.split) for t in draw_trajectories(streams, recipe)}
    assert len(sides) == len({s.episode_id for s in streams})


@given(episode_ids, st.floats(0.001, 0.999))
def test_there_is_an_episode_on_each_side(ids, share):
    assert set(draw_splits(ids, share).values()) == {"train", "validation"}


@given(episode_ids, episode_ids, st.floats(0.001, 0.999))
def test_adding_episodes_moves_none_once_the_hash_itself_gives_both_sides(ids, more, share):
    """With too few episodes one is moved to the empty side, whatever its hash."""
    settled = splits_by_hash(ids, share)
    if set(settled.values()) != {"train", "validation"}:
        return
    assert draw_splits(ids, share) == settled
    grown = draw_splits(sorted({*ids, *more}), share)
    assert {name: grown[name] for name in ids} == settled


def splits_by_hash(ids, share):
    """What each gets in a crowd so large that both sides have somebody."""
    crowd = [f"other-{number}" for number in range(1000)]
    splits = draw_splits([*crowd, *ids], share)
    return {name: splits[name] for name in ids}


def test_about_the_share_asked_for_is_held_out():
    splits = draw_splits([f"episode-{number}" for number in range(2000)], 0.1)
    assert list(splits.values()).count("validation") == pytest.approx(200, abs=40)


@pytest.mark.parametrize("ids", [[], ["only"]])
def test_one_episode_is_too_few(ids):
    with pytest.raises(
        NotEnoughEpisodesError,
        match=rf"Usable episodes: {len(ids)}; at least 2 are needed to hold one out\. Add episodes",
    ):
        draw_splits(ids, 0.5)
