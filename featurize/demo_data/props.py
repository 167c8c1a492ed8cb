"""The things on the table: what they look like and where they stand when an episode begins."""

from dataclasses import dataclass

import numpy as np

from featurize.demo_data.geometry import Floats

_COLOURS = {
    "red": (0.80, 0.16, 0.13),
    "green": (0.16, 0.60, 0.26),
    "blue": (0.14, 0.30, 0.75),
    "yellow": (0.92, 0.76, 0.14),
    "orange": (0.92, 0.47, 0.10),
    "purple": (0.50, 0.22, 0.62),
    "white": (0.88, 0.88, 0.85),
    "black": (0.12, 0.12, 0.14),
}
_KINDS = ("block", "can", "cup", "box")
_AREA_METRES = np.array([[0.34, 0.60], [-0.26, 0.26]])
_GAP_METRES = 0.13
_WIDEST_GRASP_METRES = 0.066


@dataclass(frozen=True, kw_only=True, eq=False)
class Prop:
    """One object.

    Attributes:
        kind: "block", "can", "cup" (all small enough to grasp) or "box".
        colour_name: English word for the task's text.
        albedo: (3,) share of red, green and blue light that it reflects.
        size_metres: (3,) extent along its own x, y and z; round things have x = y.
        place: (3,) where it stands: x and y in metres, yaw in radians.
    """

    kind: str
    colour_name: str
    albedo: Floats
    size_metres: Floats
    place: Floats

    @property
    def graspable(self) -> bool:
        """Whether the open gripper can go around it (across its y axis)."""
        return bool(self.size_metres[1] <= _WIDEST_GRASP_METRES)


def draw_props(rng: np.random.Generator) -> tuple[Prop, ...]:
    """Three to five objects that stand apart from each other; the first can be grasped."""
    count = int(rng.integers(3, 6))
    places = [free_place(rng, np.zeros((0, 2)))]
    while len(places) < count:
        places.append(free_place(rng, np.array(places)[:, :2]))
    kinds = [str(rng.choice(_KINDS[:3]))] + [str(kind) for kind in rng.choice(_KINDS, count - 1)]
    colours = rng.permutation(list(_COLOURS))[:count]
    return tuple(_draw_prop(rng, *each) for each in zip(kinds, colours, places, strict=True))


def free_place(rng: np.random.Generator, taken_xy: Floats) -> Floats:
    """A place (3,) on the table away from the positions (K, 2); the best of 40 draws if none is."""
    candidates = rng.uniform(_AREA_METRES[:, 0], _AREA_METRES[:, 1], size=(40, 2))
    clearance = np.full(len(candidates), np.inf)
    if len(taken_xy):
        clearance = np.linalg.norm(candidates[:, None] - taken_xy[None], axis=2).min(axis=1)
    far_enough = np.flatnonzero(clearance >= _GAP_METRES)
    chosen = far_enough[0] if len(far_enough) else clearance.argmax()
    return np.append(candidates[chosen], rng.uniform(-0.6, 0.6))


def _draw_prop(rng: np.random.Generator, kind: str, colour: str, place: Floats) -> Prop:
    return Prop(
        kind=kind,
        colour_name=str(colour),
        albedo=np.clip(np.array(_COLOURS[colour]) + rng.normal(0.0, 0.03, 3), 0.05, 0.95),
        size_metres=_draw_size(rng, kind),
        place=place,
    )


def _draw_size(rng: np.random.Generator, kind: str) -> Floats:
    if kind == "block":
        return rng.uniform([0.045, 0.042, 0.04], [0.075, 0.06, 0.06])
    if kind == "can":
        width = rng.uniform(0.05, 0.062)
        return np.array([width, width, rng.uniform(0.08, 0.11)])
    if kind == "cup":
        width = rng.uniform(0.055, 0.064)
        return np.array([width, width, rng.uniform(0.07, 0.09)])
    return rng.uniform([0.08, 0.08, 0.03], [0.14, 0.11, 0.08])
