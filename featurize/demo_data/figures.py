"""The solids of the scene and their poses: the arm's links, the hand with its two fingers, the objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurize.demo_data.geometry import Floats, translation
from featurize.demo_data.kinematics import HAND_FRAME
from featurize.demo_data.motion import TOOL_METRES
from featurize.demo_data.props import Prop
from featurize.demo_data.shapes import Mesh, box, lathe, tube
from featurize.demo_data.story import GRIPPER_WIDTH_METRES

_SHELL = np.array([0.86, 0.87, 0.88])
_JOINT = np.array([0.30, 0.32, 0.35])
_HAND = np.array([0.20, 0.21, 0.23])
_PAD = np.array([0.42, 0.43, 0.45])
_FINGER_METRES = np.array([0.011, 0.015, 0.090])  # half width along x, thickness along y, length along z


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A solid with its pose (T, 4, 4) in the world at every time step."""

    name: str
    mesh: Mesh
    poses: Floats


def arm_figures(frames: Floats, gripper: Floats) -> list[Figure]:
    """The arm for link frames (T, 9, 4, 4) of `kinematics.link_frames` and gripper positions (T,)."""
    links = [
        Figure(name=f"link_{frame}", mesh=mesh, poses=frames[:, frame]) for frame, mesh in _link_meshes()
    ]
    hand = frames[:, HAND_FRAME]
    return links + _hand_figures(hand) + _finger_figures(hand, gripper)


def prop_figures(props: Sequence[Prop], poses: Sequence[Floats]) -> list[Figure]:
    """The objects, each with poses (T, 4, 4) of the middle of its base."""
    return [
        Figure(name=prop.kind, mesh=_prop_mesh(prop), poses=each)
        for prop, each in zip(props, poses, strict=True)
    ]


def _link_meshes() -> list[tuple[int, Mesh]]:
    return [
        (0, lathe(np.array([[0.0, 0.10], [0.05, 0.085], [0.14, 0.066]]), _SHELL)),
        (1, _rod([0, 0, -0.20], [0, 0, -0.01], 0.062, 0.062)),
        (2, _joint(0.085, 0.062)),
        (3, _rod([0, 0, -0.28], [0, 0, -0.09], 0.060, 0.056)),
        (3, _rod([0, 0, -0.12], [0.0825, 0, 0.01], 0.056, 0.056)),
        (4, _joint(0.080, 0.058)),
        (5, _rod([0.0825, 0, -0.39], [0, 0, -0.26], 0.056, 0.054)),
        (5, _rod([0, 0, -0.28], [0, 0, -0.02], 0.055, 0.044)),
        (6, _joint(0.070, 0.050)),
        (6, _rod([0, 0, 0], [0.095, 0, 0], 0.046, 0.046)),
        (7, _rod([0, 0, -0.06], [0, 0, 0.105], 0.048, 0.042)),
    ]


def _rod(start: Sequence[float], end: Sequence[float], first: float, last: float) -> Mesh:
    return tube(np.array(start, dtype=float), np.array(end, dtype=float), (first, last), _SHELL)


def _joint(half_length: float, radius: float) -> Mesh:
    ends = np.array([[0.0, 0.0, -half_length], [0.0, 0.0, half_length]])
    return tube(ends[0], ends[1], (radius, radius), _SHELL, cap_albedo=_JOINT)


def _hand_figures(hand: Floats) -> list[Figure]:
    solids = {
        "hand": box(np.array([-0.032, -0.095, 0.0]), np.array([0.032, 0.095, 0.062]), _SHELL),
        "palm": box(np.array([-0.022, -0.062, 0.062]), np.array([0.022, 0.062, 0.078]), _HAND),
        "wrist_camera": box(np.array([0.050, -0.060, -0.012]), np.array([0.078, 0.060, 0.016]), _HAND),
    }
    return [Figure(name=name, mesh=mesh, poses=hand) for name, mesh in solids.items()]


def _finger_figures(hand: Floats, gripper: Floats) -> list[Figure]:
    half_gap = 0.5 * GRIPPER_WIDTH_METRES * (1.0 - gripper)
    top = TOOL_METRES + 0.012 - _FINGER_METRES[2]
    figures = []
    for side in (-1.0, 1.0):
        slide = np.tile(translation(0.0, 0.0, top), (len(gripper), 1, 1))
        slide[:, 1, 3] = side * (half_gap + 0.5 * _FINGER_METRES[1])
        figures.append(Figure(name="finger", mesh=_finger_mesh(), poses=hand @ slide))
    return figures


def _finger_mesh() -> Mesh:
    half_width, thickness, length = _FINGER_METRES
    low = np.array([-half_width, -0.5 * thickness, 0.0])
    high = np.array([half_width, 0.5 * thickness, length])
    return box(low, high, _PAD)


def _prop_mesh(prop: Prop) -> Mesh:
    half_x, half_y, height = prop.size_metres * [0.5, 0.5, 1.0]
    if prop.kind == "can":
        band = np.array([0.9, 0.9, 0.88])
        profile = np.array([[0.0, half_x], [0.3 * height, half_x], [0.7 * height, half_x], [height, half_x]])
        return lathe(profile, np.stack([prop.albedo, band, prop.albedo]), cap_albedo=np.full(3, 0.6))
    if prop.kind == "cup":
        return lathe(
            np.array([[0.0, 0.75 * half_x], [height, half_x]]), prop.albedo, cap_albedo=0.35 * prop.albedo
        )
    return box(np.array([-half_x, -half_y, 0.0]), np.array([half_x, half_y, height]), prop.albedo)
