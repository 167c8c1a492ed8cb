"""Pictures of surfaces, drawn from a random generator: table tops, walls with things on them, a floor."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""Height x width x 3, linear red, green and blue, 0 to 1."""

_WOODS = ((0.50, 0.33, 0.19), (0.66, 0.49, 0.32), (0.36, 0.23, 0.14), (0.72, 0.60, 0.44))


def table_top(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    """A table top of a random make: wood, stone, checked cloth or plain laminate."""
    makes: tuple[Callable[[np.random.Generator, int, int], Picture], ...] = (
        _wood,
        _wood,
        _stone,
        _cloth,
        _laminate,
    )
    return np.clip(makes[rng.integers(len(makes))](rng, height_px, width_px), 0.02, 0.95)


def wall(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    """A painted wall, darker towards the floor, with a few framed pictures, windows or shelves."""
    paint = rng.uniform(0.45, 0.85) + rng.uniform(-0.08, 0.08, 3)
    shade = np.linspace(1.05, 0.75, height_px, dtype=np.float32)[:, None, None]
    picture = paint.astype(np.float32) * shade * (1.0 + 0.06 * _noise(rng, height_px, width_px, 6, 6))
    for _ in range(rng.integers(2, 6)):
        _hang_something(rng, picture)
    return np.clip(picture, 0.02, 0.95).astype(np.float32)


def floor(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    """A dull floor with large soft stains."""
    colour = (rng.uniform(0.18, 0.45) + rng.uniform(-0.04, 0.04, 3)).astype(np.float32)
    return np.clip(colour * (1.0 + 0.15 * _noise(rng, height_px, width_px, 12, 12)), 0.02, 0.95)


def _noise(rng: np.random.Generator, height_px: int, width_px: int, rows: int, columns: int) -> Picture:
    """Smooth noise of about -1 to 1 with a given number of bumps in each direction: (height, width, 1)."""
    coarse = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    fine = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, dtype=np.float32)[..., None]


def _wood(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    colour = np.array(_WOODS[rng.integers(len(_WOODS))], dtype=np.float32)
    grain = 0.10 * _noise(rng, height_px, width_px, 90, 5) + 0.06 * _noise(rng, height_px, width_px, 200, 9)
    planks = int(rng.integers(4, 11))
    plank_of_row = np.arange(height_px) * planks // height_px
    tint = rng.uniform(0.85, 1.12, planks).astype(np.float32)[plank_of_row][:, None, None]
    seam = np.diff(plank_of_row, prepend=0)[:, None, None].astype(np.float32)
    return (colour * tint * (1.0 + grain) * (1.0 - 0.45 * seam)).astype(np.float32)


def _stone(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    colour = (rng.uniform(0.3, 0.75) + rng.uniform(-0.06, 0.06, 3)).astype(np.float32)
    speckle = _noise(rng, height_px, width_px, 150, 150)
    clouds = _noise(rng, height_px, width_px, 7, 7)
    return (colour * (1.0 + 0.12 * speckle + 0.12 * clouds)).astype(np.float32)


def _cloth(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    light, dark = rng.uniform(0.55, 0.85, 3), rng.uniform(0.15, 0.6, 3)
    checks = int(rng.integers(8, 20))
    rows = (np.arange(height_px) * checks * 2 // height_px) % 2
    columns = (np.arange(width_px) * checks * 2 // width_px) % 2
    weave = (0.5 * (rows[:, None] + columns[None]))[..., None]
    folds = 1.0 + 0.08 * _noise(rng, height_px, width_px, 5, 5)
    cloth: Picture = ((light * (1.0 - weave) + dark * weave) * folds).astype(np.float32)
    return cloth


def _laminate(rng: np.random.Generator, height_px: int, width_px: int) -> Picture:
    colour = rng.uniform(0.25, 0.85) + rng.uniform(-0.12, 0.12, 3)
    return (colour * (1.0 + 0.04 * _noise(rng, height_px, width_px, 9, 9))).astype(np.float32)


def _hang_something(rng: np.random.Generator, picture: Picture) -> None:
    """Draw one framed rectangle with a few blots of colour into a wall."""
    height_px, width_px = picture.shape[:2]
    top, left = int(rng.uniform(0.05, 0.5) * height_px), int(rng.uniform(0.0, 0.85) * width_px)
    bottom = top + int(rng.uniform(0.08, 0.35) * height_px)
    right = left + int(rng.uniform(0.06, 0.2) * width_px)
    edge = max(2, height_px // 60)
    picture[top:bottom, left:right] = rng.uniform(0.05, 0.4, 3)
    inside = picture[top + edge : bottom - edge, left + edge : right - edge]
    if inside.size:
        blots = rng.uniform(0.1, 0.9, (3, 3, 3)).astype(np.float32)
        inside[:] = cv2.resize(blots, inside.shape[1::-1], interpolation=cv2.INTER_LINEAR)
