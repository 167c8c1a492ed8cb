"""What the motions are like: reach, grasp, carry, place, fail, and never the same way for long."""

import numpy as np
import pytest

from featurize.demo_data.carrying import carried_poses
from featurize.demo_data.motion import TOOL_METRES, Leg, Motion
from featurize.demo_data.props import draw_props
from featurize.demo_data.story import Outcome, Story, tell

SEEDS = range(12)


def told(seed: int, outcome: Outcome) -> tuple[Story, np.ndarray, np.ndarray]:
    """A story, the times of its frames at 30 Hz, and the poses of the handled object."""
    rng = np.random.default_rng(seed)
    props = draw_props(rng)
    story = tell(rng, props, outcome=outcome, seconds=9.0)
    times = np.arange(0.0, story.motion.seconds, 1 / 30)
    return story, times, carried_poses(story, props[0].place, times)


def fingertips(story: Story, times: np.ndarray) -> np.ndarray:
    hand = story.motion.hand_poses(times)
    return hand[:, :3, 3] + TOOL_METRES * hand[:, :3, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_placed_object_is_lifted_travels_with_the_fingertips_and_stands_on_the_table_again(
    seed: int,
) -> None:
    story, times, poses = told(seed, "placed")
    held = (times > story.hold.start_seconds) & (times < story.hold.end_seconds)
    apart = np.linalg.norm(poses[held, :3, 3] - fingertips(story, times)[held], axis=1)
    assert np.ptp(apart) < 1e-3
    assert np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() < 0.03
    assert poses[:, 2, 3].max() > 0.1
    assert poses[-1, 2, 3] == 0.0
    assert np.linalg.norm(poses[-1, :2, 3] - poses[0, :2, 3]) > 0.05
    assert story.success


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gripper_is_closed_as_far_as_the_object_is_wide_while_it_holds(seed: int) -> None:
    story, times, _ = told(seed, "placed")
    held = story.motion.gripper(
        times[(times > story.hold.start_seconds) & (times < story.hold.end_seconds - 0.2)]
    )
    assert np.ptp(held) < 0.03
    assert 0.15 < held.mean() < 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missed_object_stays_where_it_is_though_the_fingers_close(seed: int) -> None:
    story, times, poses = told(seed, "missed")
    assert np.ptp(poses, axis=0).max() == 0.0
    assert story.motion.gripper(times).max() > 0.95
    assert not story.success


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dropped_object_falls_from_above_the_table(seed: int) -> None:
    story, times, poses = told(seed, "dropped")
    before = poses[times < story.hold.end_seconds][-1]
    assert before[2, 3] > 0.05
    assert poses[-1, 2, 3] == 0.0
    assert not story.success


@pytest.mark.parametrize("outcome", ["placed", "wandered", "missed", "dropped"])
def test_the_hand_moves_two_to_seven_centimetres_in_a_quarter_second(outcome: Outcome) -> None:
    steps = []
    for seed in SEEDS:
        story, _, _ = told(seed, outcome)
        tips = fingertips(story, np.arange(0.0, story.motion.seconds, 0.25))
        steps.append(np.linalg.norm(np.diff(tips, axis=0), axis=1))
    assert 0.02 < np.median(np.concatenate(steps)) < 0.07


def test_the_next_quarter_second_does_not_follow_from_the_last_one() -> None:
    past, future = [], []
    for seed in SEEDS:
        story, _, _ = told(seed, "wandered")
        moves = np.diff(fingertips(story, np.arange(0.0, story.motion.seconds, 0.25)), axis=0)
        past.append(moves[:-1])
        future.append(moves[1:])
    before, after = np.concatenate(past), np.concatenate(future)
    slope = (before * after).sum() / (before**2).sum()
    unexplained = ((after - slope * before) ** 2).sum() / (after**2).sum()
    assert unexplained > 0.5


def test_angles_never_jump_and_all_of_them_move() -> None:
    for seed in SEEDS:
        story, times, _ = told(seed, "wandered")
        rotation = story.motion.hand_poses(times)[:, :3, :3]
        roll, yaw = (
            np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2]),
            np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]),
        )
        for angle in (roll, yaw):
            assert np.abs(np.diff(angle)).max() < 0.2
            assert np.ptp(angle) > 0.1


def test_a_hold_of_half_a_second_brings_the_fingertips_to_the_millimetre() -> None:
    start, goal = np.array([0.4, 0.1, 0.3, 3.0, 0.0, 0.2]), np.array([0.5, -0.1, 0.1, 3.0, 0.0, -0.3])
    legs = [Leg(tip=goal, gripper=0.0, seconds=1.0), Leg(tip=goal, gripper=1.0, seconds=0.5)]
    motion = Motion(start, [*legs, Leg(tip=start, gripper=1.0, seconds=1.0)])
    hand = motion.hand_poses(np.array([1.25]))[0]
    assert hand[:3, 3] + TOOL_METRES * hand[:3, 2] == pytest.approx(goal[:3], abs=2e-3)
    assert motion.gripper(np.array([0.9, 1.45])) == pytest.approx([0.0, 1.0], abs=0.02)


def test_objects_stand_apart_and_the_first_fits_between_the_fingers() -> None:
    for seed in SEEDS:
        props = draw_props(np.random.default_rng(seed))
        places = np.array([prop.place[:2] for prop in props])
        gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
        assert gaps[~np.eye(len(props), dtype=bool)].min() > 0.1
        assert props[0].graspable
