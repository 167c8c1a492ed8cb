"""The room: a lit table in a box of walls, and how a camera sees it when nothing stands in the way."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from featurize.demo_data.cameras import Camera
from featurize.demo_data.geometry import Floats
from featurize.demo_data.textures import Picture, floor, table_top, wall

Image = NDArray[np.uint8]
"""Height x width x 3 bytes, red, green and blue."""

_TABLE_LOW_METRES, _TABLE_HIGH_METRES = np.array([-0.35, -0.75]), np.array([1.0, 0.75])
_TABLE_THICKNESS_METRES = 0.05
_ROOM_LOW_METRES, _ROOM_HIGH_METRES = np.array([-1.6, -2.1, -0.75]), np.array([2.3, 2.1, 1.9])
_WALL_PIXELS_PER_METRE = 90.0
_WRAP = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Light:
    """One distant lamp and light from everywhere.

    Attributes:
        direction: (3,) unit vector from the scene to the lamp.
        diffuse: (3,) strength of the lamp by colour.
        ambient: (3,) strength of the light from everywhere by colour.
    """

    direction: Floats
    diffuse: Floats
    ambient: Floats

    def on(self, normals: Floats) -> Floats:
        """Light (..., 3) that falls on surfaces with unit normals (..., 3)."""
        # The lamp is large: its light wraps a little around edges.
        facing = np.maximum(normals @ self.direction + _WRAP, 0.0) / (1.0 + _WRAP)
        lit: Floats = self.ambient + facing[..., None] * self.diffuse
        return lit


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A flat picture in space: texels from `corner` along `across` (columns) and `down` (rows), metres."""

    corner: Floats
    across: Floats
    down: Floats
    picture: Image


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """The surfaces that never move; the first is the table top."""

    surfaces: tuple[Surface, ...]

    @property
    def table(self) -> Surface:
        """The table top, in the plane z = 0."""
        return self.surfaces[0]


def draw_light(rng: np.random.Generator) -> Light:
    """A lamp high above the table, warm or cold, bright or dim."""
    azimuth, elevation = rng.uniform(-np.pi, np.pi), rng.uniform(0.85, 1.3)
    direction = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    warmth = rng.uniform(-0.08, 0.08)
    colour = np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    brightness = rng.uniform(1.0, 1.3)
    share = rng.uniform(0.45, 0.65)
    return Light(
        direction=direction, diffuse=share * brightness * colour, ambient=(1.0 - share) * brightness * colour
    )


def draw_room(rng: np.random.Generator, light: Light, *, pixels_per_metre: float) -> Room:
    """A table and a room of random makes; `pixels_per_metre` is the resolution of the table top."""
    corner = np.array([*_TABLE_LOW_METRES, 0.0])
    extent = _TABLE_HIGH_METRES - _TABLE_LOW_METRES
    columns, rows = (extent * pixels_per_metre).astype(int)
    top = table_top(rng, rows, columns) * _lamp_pool(rng, rows, columns)
    along_x, along_y = np.array([extent[0], 0.0, 0.0]), np.array([0.0, extent[1], 0.0])
    table = _lit(light, top, corner, along_x, along_y, up=np.array([0.0, 0.0, 1.0]))
    rim = 0.7 * top[-1:].mean(axis=1, keepdims=True)
    return Room(surfaces=(table, *_table_rim(light, rim, corner, along_x, along_y), *_walls(rng, light)))


def view(room: Room, camera: Camera) -> tuple[Image, NDArray[np.bool_]]:
    """The empty room (H, W, 3) in the camera's first pose, and where it shows the table top (H, W)."""
    eye, rays = camera.poses[0, :3, 3], _rays(camera)
    nearest = np.full(rays.shape[:2], np.inf)
    image = np.zeros((camera.height_px, camera.width_px, 3), dtype=np.uint8)
    on_table: NDArray[np.bool_] = np.zeros(rays.shape[:2], dtype=bool)
    for surface in room.surfaces:
        distance, column, row = _hits(surface, eye, rays)
        seen = distance < nearest
        nearest[seen] = distance[seen]
        texels = cv2.remap(surface.picture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        image[seen] = texels[seen]
        on_table = np.where(seen, surface is room.table, on_table)
    blurred = cv2.GaussianBlur(image, (0, 0), 0.5 * camera.width_px / 320)
    return np.asarray(blurred, dtype=np.uint8), on_table


def table_views(room: Room, camera: Camera) -> Floats:
    """Homographies (T, 3, 3) from texels of the table top to pixels, for a camera above the table."""
    table = room.table
    height_px, width_px = table.picture.shape[:2]
    rotation = np.swapaxes(camera.poses[:, :3, :3], 1, 2)
    columns = np.broadcast_to(
        np.stack([table.across / width_px, table.down / height_px], axis=1), (len(rotation), 3, 2)
    )
    plane = np.concatenate([columns, (table.corner - camera.poses[:, :3, 3])[..., None]], axis=2)
    homographies: Floats = camera.matrix @ rotation @ plane
    return homographies


def _lamp_pool(rng: np.random.Generator, rows: int, columns: int) -> Picture:
    """A soft bright spot somewhere on the table: (rows, columns, 1)."""
    x = np.linspace(0.0, 1.0, columns, dtype=np.float32)[None] - rng.uniform(0.3, 0.8)
    y = np.linspace(0.0, 1.0, rows, dtype=np.float32)[:, None] - rng.uniform(0.2, 0.8)
    pool = 0.85 + 0.25 * np.exp(-(x**2 + y**2) / rng.uniform(0.1, 0.3))
    return pool[..., None].astype(np.float32)


def _lit(
    light: Light, picture: Picture, corner: Floats, across: Floats, down: Floats, *, up: Floats
) -> Surface:
    shaded = np.clip(255.0 * picture * light.on(up).astype(np.float32), 0, 255).astype(np.uint8)
    return Surface(corner=corner, across=across, down=down, picture=shaded)


def _table_rim(light: Light, rim: Picture, corner: Floats, along_x: Floats, along_y: Floats) -> list[Surface]:
    drop = np.array([0.0, 0.0, -_TABLE_THICKNESS_METRES])
    strip = np.ascontiguousarray(np.broadcast_to(rim, (2, 2, 3)))
    sides = [
        (corner, along_x, -along_y),
        (corner + along_y, along_x, along_y),
        (corner, along_y, -along_x),
        (corner + along_x, along_y, along_x),
    ]
    return [
        _lit(light, strip, start, edge, drop, up=outward / np.linalg.norm(outward))
        for start, edge, outward in sides
    ]


def _walls(rng: np.random.Generator, light: Light) -> list[Surface]:
    low, high = _ROOM_LOW_METRES, _ROOM_HIGH_METRES
    x, y, z = np.diag(high - low)
    top = low + z
    ground = floor(rng, 128, 128)
    surfaces = [_lit(light, ground, low, x, y, up=np.array([0.0, 0.0, 1.0]))]
    for corner, across, inward in ((top, x, y), (top + y, x, -y), (top, y, x), (top + x, y, -x)):
        pixels = (np.array([z.sum(), across.sum()]) * _WALL_PIXELS_PER_METRE).astype(int)
        picture = wall(rng, int(pixels[0]), int(pixels[1]))
        surfaces.append(_lit(light, picture, corner, across, -z, up=inward / np.linalg.norm(inward)))
    return surfaces


def _rays(camera: Camera) -> Floats:
    """Directions (H, W, 3) in the world of the pixels in the first pose, depth 1."""
    columns, rows = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    rays: Floats = pixels @ np.linalg.inv(camera.matrix).T @ camera.poses[0, :3, :3].T
    return rays


def _hits(
    surface: Surface, eye: Floats, rays: Floats
) -> tuple[Floats, NDArray[np.float32], NDArray[np.float32]]:
    """Depth (H, W) at which the rays meet the surface (infinite where they do not), texel column and row."""
    normal = np.cross(surface.across, surface.down)
    slope = rays @ normal
    depth = (surface.corner - eye) @ normal / np.where(np.abs(slope) < 1e-12, 1e-12, slope)
    offset = eye + depth[..., None] * rays - surface.corner
    along = [offset @ axis / (axis @ axis) for axis in (surface.across, surface.down)]
    inside = (depth > 0) & (along[0] >= 0) & (along[0] <= 1) & (along[1] >= 0) & (along[1] <= 1)
    height_px, width_px = surface.picture.shape[:2]
    column = (along[0] * width_px - 0.5).astype(np.float32)
    row = (along[1] * height_px - 0.5).astype(np.float32)
    return np.where(inside, depth, np.inf), column, row
