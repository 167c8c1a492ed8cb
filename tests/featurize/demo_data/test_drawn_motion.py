"""What the recorded numbers say is what the pictures show."""

from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from featurize.demo_data.cameras import EXTERIOR_FOCAL_PER_WIDTH, WRIST_FOCAL_PER_WIDTH
from featurize.demo_data.painter import Stage, paint
from featurize.demo_data.scene import Scene, draw_scene

WIDTH_PX, HEIGHT_PX = 160, 90
PALM_METRES = np.array([0.0, 0.0, 0.04])


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(8)
    return draw_scene(rng, np.arange(0, 90, 9) / 15, site=0, outcome="placed", width_px=320, height_px=180)


def decode(path: Any) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def palm_pixels(episode: Any, extrinsics: np.ndarray, focal_px: float) -> np.ndarray:
    """Pixel (R, 2) of the middle of the hand, from the recorded numbers and the pinhole formula alone."""
    hand = episode.rows("observation/robot_state/cartesian_position")
    palm = hand[:, :3] + Rotation.from_euler("xyz", hand[:, 3:]).apply(PALM_METRES)
    seen = Rotation.from_euler("xyz", extrinsics[:, 3:]).inv().apply(palm - extrinsics[:, :3])
    centre = np.array([WIDTH_PX - 1, HEIGHT_PX - 1]) / 2
    return focal_px * seen[:, :2] / seen[:, 2:] + centre


def share_on_moving_things(frames: np.ndarray, pixels: np.ndarray) -> float:
    """Share of the rows whose pixel, where it is in the picture, differs from the picture without the arm."""
    inside = ((pixels > 1) & (pixels < [WIDTH_PX - 2, HEIGHT_PX - 2])).all(axis=1)[: len(frames)]
    rows = np.flatnonzero(inside)
    columns, lines = np.rint(pixels[rows]).astype(int).T
    change = np.abs(frames.astype(int) - np.median(frames, axis=0)).max(axis=3)
    return float((change[rows, lines, columns] > 12).mean())


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_recorded_hand_projects_onto_the_moving_hand_of_the_clip(episodes: list[Any], side: str) -> None:
    shares, wrong = [], []
    for episode in episodes[:4]:
        path = episode.video(f"{side}_mp4_path")
        extrinsics = episode.rows(f"observation/camera_extrinsics/{path.stem}_left")
        pixels = palm_pixels(episode, extrinsics, EXTERIOR_FOCAL_PER_WIDTH * WIDTH_PX)
        frames = decode(path)
        shares.append(share_on_moving_things(frames, pixels))
        wrong.append(share_on_moving_things(frames, pixels[::-1]))
    assert np.mean(shares) > 0.9
    assert np.mean(wrong) < np.mean(shares) - 0.2


def test_the_wrist_camera_rides_with_the_hand(episodes: list[Any]) -> None:
    episode = episodes[0]
    serial = episode.serials["wrist"]
    extrinsics = episode.rows(f"observation/camera_extrinsics/{serial}_left")
    hand = episode.rows("observation/robot_state/cartesian_position")
    offset = episode.rows(f"observation/camera_extrinsics/{serial}_left_gripper_offset")
    turned = Rotation.from_euler("xyz", hand[:, 3:])
    np.testing.assert_allclose(hand[:, :3] + turned.apply(offset[:, :3]), extrinsics[:, :3], atol=1e-9)
    tip = episode.rows("observation/robot_state/cartesian_position")[:, :3] + turned.apply([0.0, 0.0, 0.15])
    seen = Rotation.from_euler("xyz", extrinsics[:, 3:]).inv().apply(tip - extrinsics[:, :3])
    pixels = WRIST_FOCAL_PER_WIDTH * WIDTH_PX * seen[:, :2] / seen[:, 2:]
    assert np.ptp(pixels, axis=0).max() < 1e-6
    assert np.abs(pixels).max() < WIDTH_PX / 2


@pytest.mark.parametrize("camera", ["left", "right"])
def test_the_hand_is_drawn_where_the_camera_projects_it(scene: Scene, camera: str) -> None:
    (hand,) = (figure for figure in scene.figures if figure.name == "hand")
    glowing = replace(hand, mesh=replace(hand.mesh, albedo=np.full((6, 3), 50.0)))
    drawn = list(paint(Stage([glowing], scene.light), scene.room, scene.cameras[camera]))
    middle = hand.poses @ np.array([0.0, 0.0, 0.031, 1.0])
    pixels, _ = scene.cameras[camera].project(middle[:, None, :3])
    for frame, (column, line) in zip(drawn, pixels[:, 0], strict=True):
        if 20 < column < 300 and 20 < line < 160:
            lines, columns = np.nonzero((frame == 255).all(axis=2))
            assert columns.mean() == pytest.approx(column, abs=2.5)
            assert lines.mean() == pytest.approx(line, abs=2.5)


def test_the_fingers_are_as_far_apart_as_the_gripper_says(scene: Scene) -> None:
    first, second = (figure for figure in scene.figures if figure.name == "finger")
    apart = np.linalg.norm(first.poses[:, :3, 3] - second.poses[:, :3, 3], axis=1)
    np.testing.assert_allclose(apart, 0.085 * (1.0 - scene.gripper) + 0.015, atol=1e-9)


def test_near_things_hide_far_things(scene: Scene) -> None:
    camera = scene.cameras["left"]
    (hand,) = (figure for figure in scene.figures if figure.name == "hand")
    toward_camera = camera.poses[:, :3, 3] - hand.poses[:, :3, 3]
    nearer = hand.poses.copy()
    nearer[:, :3, 3] += 0.4 * toward_camera
    dark = replace(hand, mesh=replace(hand.mesh, albedo=np.zeros((6, 3))), poses=nearer)
    glowing = replace(hand, mesh=replace(hand.mesh, albedo=np.full((6, 3), 50.0)))
    pixels, _ = camera.project(nearer[:, None, :3, 3])
    for order in ([dark, glowing], [glowing, dark]):
        frame = next(iter(paint(Stage(order, scene.light), scene.room, camera)))
        column, line = np.rint(pixels[0, 0]).astype(int)
        assert frame[line, column].max() == 0


def test_the_arm_darkens_the_table_it_stands_over(scene: Scene) -> None:
    camera = scene.cameras["left"]
    (hand,) = (figure for figure in scene.figures if figure.name == "hand")
    empty = next(
        iter(paint(Stage([replace(hand, poses=hand.poses + _far_up())], scene.light), scene.room, camera))
    )
    shaded = next(iter(paint(Stage([hand], scene.light), scene.room, camera)))
    stage = Stage([hand], scene.light)
    pixels, _ = camera.project(stage.shadows.mean(axis=1, keepdims=True))
    column, line = np.rint(pixels[0, 0]).astype(int)
    assert shaded[line, column].sum() < 0.9 * empty[line, column].sum()


def _far_up() -> np.ndarray:
    offset = np.zeros((4, 4))
    offset[:3, 3] = 0.0, 0.0, 50.0
    return offset
