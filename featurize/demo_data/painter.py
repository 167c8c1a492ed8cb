"""The rasteriser: far faces first, near ones over them (painter's algorithm), flat shading, shadows.

T time steps, V vertices, F faces, C corners of all faces in one row.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from featurize.demo_data.cameras import Camera
from featurize.demo_data.figures import Figure
from featurize.demo_data.geometry import Floats, transform
from featurize.demo_data.room import Image, Light, Room, table_views, view

_NEAREST_METRES = 0.025
_SUBPIXEL_BITS = 4


class Stage:
    """All figures in the world: corners, normals and colours of their faces at every time step."""

    def __init__(self, figures: Sequence[Figure], light: Light) -> None:
        self._light = light
        self.vertices = np.concatenate(
            [transform(each.poses, each.mesh.vertices) for each in figures], axis=1
        )
        counts = [len(each.mesh.vertices) for each in figures]
        starts = np.cumsum([0, *counts])
        self.figure_vertices = [slice(a, b) for a, b in pairwise(starts.tolist())]
        faces = [
            np.array(face) + start
            for each, start in zip(figures, starts, strict=False)
            for face in each.mesh.faces
        ]
        self.corners = np.concatenate(faces)
        self.face_sizes = np.array([len(face) for face in faces])
        self.face_starts = np.cumsum(self.face_sizes) - self.face_sizes
        self._albedo = np.concatenate([each.mesh.albedo for each in figures])

    @cached_property
    def centres(self) -> Floats:
        """Middle (T, F, 3) of every face."""
        sums = np.add.reduceat(self.vertices[:, self.corners], self.face_starts, axis=1)
        middle: Floats = sums / self.face_sizes[None, :, None]
        return middle

    @cached_property
    def normals(self) -> Floats:
        """Outward unit normal (T, F, 3) of every face."""
        first, second, third = (self.vertices[:, self.corners[self.face_starts + k]] for k in range(3))
        normal = np.cross(second - first, third - first)
        unit: Floats = normal / np.linalg.norm(normal, axis=2, keepdims=True)
        return unit

    @cached_property
    def colours(self) -> NDArray[np.uint8]:
        """Colour (T, F, 3) of every face in the light; faces low above the table get less of it."""
        near_table = 0.72 + 0.28 * np.clip(self.centres[..., 2] / 0.12, 0.0, 1.0)
        lit = self._albedo * self._light.on(self.normals) * near_table[..., None]
        return np.clip(255.0 * lit, 0, 255).astype(np.uint8)

    @cached_property
    def shadows(self) -> Floats:
        """Where the shadow (T, V, 3) of every vertex falls on the table's plane."""
        reach = np.maximum(self.vertices[..., 2:], 0.0) / self._light.direction[2]
        fallen: Floats = self.vertices - reach * self._light.direction
        return fallen

    @property
    def shadow_strength(self) -> float:
        """Share of the table's light that the lamp gives and a shadow takes away."""
        lit = self._light.on(np.array([0.0, 0.0, 1.0])).mean()
        return float(1.0 - self._light.ambient.mean() / lit)


def paint(stage: Stage, room: Room, camera: Camera) -> Iterator[Image]:
    """Frames (H, W, 3) of the stage in the room through a camera, one for each time step, in order."""
    backdrops = _moving_backdrops(room, camera) if camera.moves else _still_backdrops(room, camera)
    yield from paint_over(backdrops, stage, camera)


def paint_over(
    backdrops: Iterable[tuple[Image, Image | None]], stage: Stage, camera: Camera
) -> Iterator[Image]:
    """Paint the stage into pictures of the empty room (H, W, 3), each with its table (H, W) of 0 and 1.

    The pictures are painted on. None for the table: it is all there is.
    """
    shadows = _ShadowPainter(stage, camera)
    faces = _FacePainter(stage, camera)
    for step, (frame, on_table) in enumerate(backdrops):
        shadows.darken(step, frame, on_table)
        faces.draw(step, frame)
        yield frame


def _still_backdrops(room: Room, camera: Camera) -> Iterator[tuple[Image, Image | None]]:
    image, on_table = view(room, camera)
    for _ in camera.poses:
        yield image.copy(), on_table.astype(np.uint8)


def _moving_backdrops(room: Room, camera: Camera) -> Iterator[tuple[Image, Image | None]]:
    beyond = room.surfaces[-1].picture.mean(axis=(0, 1)) * 0.5
    for homography in table_views(room, camera):
        size = (camera.width_px, camera.height_px)
        seen = cv2.warpPerspective(room.table.picture, homography, size, borderValue=beyond.tolist())
        yield np.asarray(seen, dtype=np.uint8), None


class _FacePainter:
    def __init__(self, stage: Stage, camera: Camera) -> None:
        pixels, depth = camera.project(stage.vertices)
        self._stage = stage
        self._pixels = _fixed_point(pixels)
        to_face = stage.centres - camera.poses[:, None, :3, 3]
        self._distance = np.linalg.norm(to_face, axis=2)
        self._visible = (stage.normals * to_face).sum(axis=2) < 0
        self._visible &= _least(stage, depth) > _NEAREST_METRES
        for axis, size_px in enumerate((camera.width_px, camera.height_px)):
            self._visible &= _least(stage, pixels[..., axis]) < size_px
            self._visible &= -_least(stage, -pixels[..., axis]) > -1

    def draw(self, step: int, frame: Image) -> None:
        """Paint the faces of one step over `frame` (H, W, 3) uint8, the farthest first."""
        faces = np.flatnonzero(self._visible[step])
        faces = faces[np.argsort(-self._distance[step, faces], kind="stable")]
        corners = self._pixels[step, self._stage.corners]
        starts = self._stage.face_starts[faces]
        ends = (starts + self._stage.face_sizes[faces]).tolist()
        colours = self._stage.colours[step, faces].tolist()
        for start, end, colour in zip(starts.tolist(), ends, colours, strict=True):
            cv2.fillConvexPoly(frame, corners[start:end], colour, cv2.LINE_AA, _SUBPIXEL_BITS)


class _ShadowPainter:
    def __init__(self, stage: Stage, camera: Camera) -> None:
        pixels, depth = camera.project(stage.shadows)
        self._figures = stage.figure_vertices
        self._remaining_light = (255.0 - stage.shadow_strength * np.arange(256)).astype(np.uint8)
        self._pixels = _fixed_point(pixels)
        starts = [each.start for each in self._figures]
        self._in_front = np.minimum.reduceat(depth, starts, axis=1) > _NEAREST_METRES
        self._softness_px = 2 * round(camera.width_px / 160) + 1

    def darken(self, step: int, frame: Image, on_table: Image | None) -> None:
        """Take light from `frame` (H, W, 3) uint8 where shadows fall; `on_table` (H, W): 0 where none can."""
        mask: NDArray[np.uint8] = np.zeros(frame.shape[:2], dtype=np.uint8)
        for figure, visible in zip(self._figures, self._in_front[step].tolist(), strict=True):
            if visible:
                hull = cv2.convexHull(self._pixels[step, figure])
                cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_8, _SUBPIXEL_BITS)
        mask = np.asarray(cv2.blur(mask, (self._softness_px, self._softness_px)), dtype=np.uint8)
        if on_table is not None:
            mask *= on_table
        remaining = cv2.LUT(mask, self._remaining_light)
        cv2.multiply(frame, cv2.merge([remaining] * 3), dst=frame, scale=1 / 255)


def _fixed_point(pixels: Floats) -> NDArray[np.int32]:
    """Pixel positions as OpenCV's fixed-point numbers; far outside the image they are held at 20,000 px."""
    return np.rint(np.clip(pixels, -2e4, 2e4) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _least(stage: Stage, of_vertices: Floats) -> Floats:
    """Least value (T, F) over the corners of each face, of values (T, V)."""
    least: Floats = np.minimum.reduceat(of_vertices[:, stage.corners], stage.face_starts, axis=1)
    return least
