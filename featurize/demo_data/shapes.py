"""Convex solids as polygon meshes: what the arm and the objects are made of.

V vertices, F faces. Faces are convex polygons, wound counter-clockwise seen from outside.
"""

from dataclasses import dataclass

import numpy as np

from featurize.demo_data.geometry import Floats, transform

_SIDES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """A convex solid.

    Attributes:
        vertices: (V, 3) in metres.
        faces: vertex numbers of each face.
        albedo: (F, 3) reflected share of red, green and blue light.
    """

    vertices: Floats
    faces: tuple[tuple[int, ...], ...]
    albedo: Floats

    def placed(self, pose: Floats) -> "Mesh":
        """The same solid moved by a pose (4, 4)."""
        return Mesh(vertices=transform(pose, self.vertices), faces=self.faces, albedo=self.albedo)


def box(low: Floats, high: Floats, albedo: Floats) -> Mesh:
    """Axis-parallel box between two corners (3,) in metres."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    faces = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    return Mesh(
        vertices=np.where(corners, high, low).astype(float),
        faces=faces,
        albedo=np.tile(albedo, (len(faces), 1)),
    )


def lathe(profile: Floats, albedo: Floats, *, cap_albedo: Floats | None = None) -> Mesh:
    """Solid of revolution about z.

    Args:
        profile: (K, 2) rows of height and radius in metres, from bottom to top.
        albedo: (3,) for the whole side or (K - 1, 3) for each band of it.
        cap_albedo: (3,) of the two flat ends; as the bands next to them if None.
    """
    rings = len(profile)
    angles = np.arange(_SIDES) * 2 * np.pi / _SIDES
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vertices = np.concatenate(
        [np.column_stack([radius * circle, np.full(_SIDES, height)]) for height, radius in profile]
    )
    bands = np.broadcast_to(albedo, (rings - 1, 3))
    ends = bands[[0, -1]] if cap_albedo is None else np.broadcast_to(cap_albedo, (2, 3))
    faces = [tuple(reversed(range(_SIDES))), tuple(range((rings - 1) * _SIDES, rings * _SIDES))]
    for ring in range(rings - 1):
        faces += [_side_face(ring, side) for side in range(_SIDES)]
    return Mesh(
        vertices=vertices,
        faces=tuple(faces),
        albedo=np.concatenate([ends, np.repeat(bands, _SIDES, axis=0)]),
    )


def tube(
    start: Floats,
    end: Floats,
    radii_metres: tuple[float, float],
    albedo: Floats,
    *,
    cap_albedo: Floats | None = None,
) -> Mesh:
    """Round rod between two points (3,) with a radius at each, its ends rounded off."""
    length = float(np.linalg.norm(end - start))
    first, last = radii_metres
    profile = np.array(
        [[0.0, 0.75 * first], [0.25 * first, first], [length - 0.25 * last, last], [length, 0.75 * last]]
    )
    return lathe(profile, albedo, cap_albedo=cap_albedo).placed(_frame_along(start, end))


def _side_face(ring: int, side: int) -> tuple[int, ...]:
    here, after = ring * _SIDES + side, ring * _SIDES + (side + 1) % _SIDES
    return (here, after, after + _SIDES, here + _SIDES)


def _frame_along(start: Floats, end: Floats) -> Floats:
    z_axis = (end - start) / np.linalg.norm(end - start)
    helper = np.eye(3)[np.abs(z_axis).argmin()]
    x_axis = np.cross(helper, z_axis)
    x_axis /= np.linalg.norm(x_axis)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis], axis=1)
    pose[:3, 3] = start
    return pose
