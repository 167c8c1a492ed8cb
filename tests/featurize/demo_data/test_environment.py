"""The environment shows what the generator shows, and does what its actions say."""

from itertools import pairwise, product

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from featurize.demo_data.carrying import carried_poses, resting_pose
from featurize.demo_data.environment import DemoWorld, DemoWorldError, straight_to
from featurize.demo_data.geometry import six_from_pose
from featurize.demo_data.props import Prop, draw_props
from featurize.demo_data.reach import (
    LARGEST_ACTION,
    TIP_HIGH,
    TIP_LOW,
    action_between,
    arm_at,
    arm_with_tip,
    moved,
)
from featurize.demo_data.scene import draw_scene
from featurize.demo_data.story import Outcome, Story, tell
from featurize.demo_data.surroundings import Surroundings, draw_surroundings
from featurize.demo_data.tabletop import Photographer, Tabletop

SIZE = {"width_px": 160, "height_px": 90}
SECONDS = np.arange(0.0, 8.0, 0.25)
TASKS = ("reach", "reach_with_object")


def small(**arguments) -> DemoWorld:
    return DemoWorld(width_px=64, height_px=64, **arguments)


def pieces(seed: int, outcome: Outcome) -> tuple[tuple[Prop, ...], Story, Surroundings]:
    """What `draw_scene` draws with the same seed, before it is put together."""
    rng = np.random.default_rng(seed)
    props = draw_props(rng)
    story = tell(rng, props, outcome=outcome, seconds=float(SECONDS[-1]))
    return props, story, draw_surroundings(rng, site=1, **SIZE)


def generated(seed: int, outcome: Outcome) -> tuple[np.ndarray, list[np.ndarray]]:
    scene = draw_scene(np.random.default_rng(seed), SECONDS, site=1, outcome=outcome, **SIZE)
    states = np.column_stack([six_from_pose(scene.hand_poses), scene.gripper])
    return states, list(dict(scene.videos())["left"])


def replay(states: np.ndarray, props: tuple[Prop, ...]) -> list[Tabletop]:
    table = Tabletop(arm_at(states[0]), props)
    yield table
    for before, after in pairwise(states):
        cut = table.step(action_between(before, after))
        # The generator lets a held object sink into the table by what smoothing takes off; here it stops.
        assert not cut[[0, 1, 3, 4, 5, 6]].any()
        yield table


def test_replayed_actions_give_the_generators_states_and_pictures_bit_for_bit() -> None:
    states, frames = generated(5, "wandered")
    props, _, around = pieces(5, "wandered")
    photographer = Photographer(around, around.exterior["left"], props)
    for table, state, frame in zip(replay(states, props), states, frames, strict=True):
        np.testing.assert_allclose(table.arm.state, state, atol=1e-5)
        np.testing.assert_array_equal(photographer.take(table.arm, table.prop_poses), frame)


@pytest.mark.parametrize("outcome", ["placed", "dropped", "missed"])
def test_pictures_with_a_handled_object_are_the_generators_bit_for_bit(outcome: Outcome) -> None:
    states, frames = generated(7, outcome)
    props, story, around = pieces(7, outcome)
    photographer = Photographer(around, around.exterior["left"], props)
    still = [resting_pose(prop.place) for prop in props[1:]]
    for state, first, frame in zip(
        states, carried_poses(story, props[0].place, SECONDS), frames, strict=True
    ):
        np.testing.assert_array_equal(photographer.take(arm_at(state), [first, *still]), frame)


@pytest.mark.parametrize("seed", range(6))
def test_replaying_a_placed_story_takes_the_object_along_to_where_it_was_placed(seed: int) -> None:
    states = generated_states(seed, "placed")
    props, story, _ = pieces(seed, "placed")
    wanted = carried_poses(story, props[0].place, SECONDS)
    held = []
    for table in replay(states, props):
        held.append(table.held)
    assert 0 in held
    assert table.held is None
    assert np.linalg.norm(table.prop_poses[0][:3, 3] - wanted[-1, :3, 3]) < 0.02


def generated_states(seed: int, outcome: Outcome) -> np.ndarray:
    _, story, _ = pieces(seed, outcome)
    return np.column_stack([six_from_pose(story.motion.hand_poses(SECONDS)), story.motion.gripper(SECONDS)])


@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_no_fault() -> None:
    check_env(gymnasium.make("permafrost/DemoWorld-v0", width_px=64, height_px=64).unwrapped)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_and_actions_give_the_same_episode(task: str) -> None:
    runs = []
    for _ in range(2):
        env = small()
        observation, info = env.reset(seed=4, options={"task": task})
        seen = [info["goal_image"], info["goal_state"], observation["image"]]
        for _ in range(3):
            observation, *_ = env.step(np.full(7, 0.03, dtype=np.float32))
            seen += [observation["image"], observation["state"]]
        runs.append(seen)
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    assert not np.array_equal(small().reset(seed=5, options={"task": task})[0]["state"], runs[0][-1])


def act(policy: str, env: DemoWorld, state: np.ndarray, goal: np.ndarray) -> np.ndarray:
    if policy == "oracle":
        return straight_to(state, goal)
    return env.action_space.sample() if policy == "random" else np.zeros(7, dtype=np.float32)


def succeeded(policy: str, task: str, num_episodes: int) -> float:
    env, successes = small(), 0
    for seed in range(num_episodes):
        observation, info = env.reset(seed=seed, options={"task": task})
        env.action_space.seed(seed)
        goal, done = info["goal_state"], False
        while not done:
            action = act(policy, env, observation["state"], goal)
            observation, reward, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
        successes += int(reward)
    return successes / num_episodes


@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_reaches_the_goal_and_doing_nothing_or_anything_does_not(task: str) -> None:
    assert succeeded("oracle", task, 24) > 0.95
    assert succeeded("zero", task, 10) == 0.0
    assert succeeded("random", task, 10) < 0.5


def test_the_arm_at_the_goal_looks_like_the_goal_image() -> None:
    env = small()
    observation, info = env.reset(seed=2, options={"task": "reach_with_object"})
    assert not np.array_equal(observation["image"], info["goal_image"])
    env._table.arm = env._goal
    env._table.step(np.zeros(7))
    assert np.array_equal(env._observe()["image"], info["goal_image"])


def test_an_object_that_is_let_go_falls_and_the_task_is_not_done_without_it() -> None:
    env = small()
    _, info = env.reset(seed=2, options={"task": "reach_with_object"})
    goal = info["goal_state"].copy()
    env.step(np.array([0, 0, 0, 0, 0, 0, -1], dtype=np.float32))
    goal[6] = 0.0
    for _ in range(8):
        _, _, terminated, _, info = env.step(straight_to(env._observe()["state"], goal))
    assert env._table.prop_poses[0][2, 3] == 0.0
    assert info["distance_metres"] < 0.05 < info["object_distance_metres"]
    assert not terminated


def test_a_step_too_large_and_a_place_out_of_reach_are_told() -> None:
    env = small(max_steps=3)
    env.reset(seed=0)
    *_, info = env.step(np.array([0.2, 0, 0, 0, 0, 0, 0], dtype=np.float32))
    assert info["clipped"].tolist() == [True] + [False] * 6
    for _ in range(6):
        *_, truncated, info = env.step(np.array([0, 0, 0.1, 0, 0, 0, 0], dtype=np.float32))
    assert info["clipped"][2]
    assert truncated


def test_where_the_joints_cannot_follow_the_hand_stays_and_that_is_told() -> None:
    corners = (arm_with_tip(np.array(tip), 0.0) for tip in product(*zip(TIP_LOW, TIP_HIGH, strict=True)))
    goal = next(corner for corner in corners if not corner.reachable)
    arm = arm_with_tip(np.array([0.45, 0.0, 0.2, np.pi - 0.2, 0.0, 0.0]), 0.0)
    for _ in range(12):
        before = arm
        arm, cut = moved(arm, straight_to(arm.state, goal.state).astype(float))
        assert arm.reachable
    assert cut[:6].all()
    assert np.array_equal(arm.hand, before.hand)


def test_the_generators_steps_are_within_the_bounds_of_an_action() -> None:
    for seed in range(20):
        states = generated_states(seed, "placed")
        steps = [action_between(a, b) for a, b in pairwise(states)]
        assert (np.abs(steps) <= LARGEST_ACTION).all()


def test_render_gives_the_picture_that_was_observed() -> None:
    env = small(render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    assert np.array_equal(env.render(), observation["image"])


def test_unknown_tasks_options_and_cameras_are_refused() -> None:
    with pytest.raises(DemoWorldError, match="task is 'fly'; expected one of 'reach', 'reach_with_object'"):
        small().reset(options={"task": "fly"})
    with pytest.raises(DemoWorldError, match="option is 'tsk'; expected one of 'task'"):
        small().reset(options={"tsk": "reach"})
    with pytest.raises(DemoWorldError, match="camera is 'wrist'; expected one of 'left', 'right'"):
        small(camera="wrist")


@pytest.mark.parametrize("action", [np.full(7, np.nan), np.zeros(6)])
def test_an_action_that_is_none_is_refused(action):
    world = DemoWorld(width_px=32, height_px=18)
    world.reset(seed=0)
    with pytest.raises(DemoWorldError, match="An action is 7 finite numbers"):
        world.step(action)
