"""The 4 Hz grid: which source rows become stored frames.

Shape suffixes: R source rows, F frames on the grid.

Two clocks, because DROID's MP4s say 60 fps although their frames were captured at about 15 Hz. `physical`
reads the camera's capture time stamps. `mp4_nominal` believes the file, as the public V-JEPA 2-AC loader does
(vjepa2, app/vjepa_droid/droid.py), and so steps 15 rows, about one physical second, at a time.

A phase says where the grid starts, as a share of its period in [0, 1), on either clock: a phase of 0.4 starts
0.1 s after the first row under `physical`, and at row 6 of every 15 under `mp4_nominal` at 60 Hz.
"""

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FRAME_RATE_HZ = 4.0
MIN_CLIP_FRAMES = 16

NANOSECONDS_PER_SECOND = 1_000_000_000
GRID_PERIOD_NANOSECONDS = round(NANOSECONDS_PER_SECOND / FRAME_RATE_HZ)


class Clock(StrEnum):
    """What the 4 Hz grid is measured on."""

    PHYSICAL = "physical"
    MP4_NOMINAL = "mp4_nominal"


def source_rows(
    clock: Clock,
    *,
    num_rows: int,
    capture_seconds_R: NDArray[np.float64] | None,
    nominal_hz: float,
    phase: float,
) -> NDArray[np.int64]:
    """The row of each grid frame, strictly increasing: int64 (F,), F at least `guaranteed_frames`.

    `capture_seconds_R` is needed by `physical` and must have passed `sources.timestamps.check_capture_times`;
    `nominal_hz`, the rate the MP4 claims, is needed by `mp4_nominal`.

    Example: rows captured every 1/15 s (at 0, 0.067, 0.133 s, ...), an MP4 of 60 Hz, phase 0.

        physical     grid at 0, 0.25, 0.5, 0.75, 1 s; rows 0, 4, 7, 11, 15
                     (0.5 s is as near to row 7 at 0.467 s as to row 8 at 0.533 s: the earlier one)
        mp4_nominal  every ceil(60 / 4) = 15th row: rows 0, 15, 30, about 1 s apart
    """
    assert 0 <= phase < 1, phase
    if clock is Clock.MP4_NOMINAL:
        step = nominal_step(nominal_hz)
        return np.arange(math.floor(phase * step), num_rows, step, dtype=np.int64)
    assert capture_seconds_R is not None
    assert len(capture_seconds_R) == num_rows, (len(capture_seconds_R), num_rows)
    return _nearest_rows(nanoseconds_since_first(capture_seconds_R), phase)


def guaranteed_frames(
    clock: Clock, *, num_rows: int, capture_seconds_R: NDArray[np.float64] | None, nominal_hz: float
) -> int:
    """How many frames `source_rows` gives at the least favourable phase.

    Sixteen of them take 4 s on the physical clock, the length below which V-JEPA 2-AC dropped episodes
    (arXiv 2506.09985), and 16 steps of rows on the nominal one, below which the public loader raises.
    """
    if clock is Clock.MP4_NOMINAL:
        return num_rows // nominal_step(nominal_hz)
    assert capture_seconds_R is not None
    return int(nanoseconds_since_first(capture_seconds_R)[-1] // GRID_PERIOD_NANOSECONDS)


def nominal_step(nominal_hz: float) -> int:
    """Rows between two frames on the nominal clock: 15 at 60 Hz."""
    return math.ceil(nominal_hz / FRAME_RATE_HZ)


def nanoseconds_since_first(capture_seconds_R: NDArray[np.float64]) -> NDArray[np.int64]:
    """Capture times as int64 (R,): whole numbers, so that ties always fall the same way."""
    since_first_R = capture_seconds_R - capture_seconds_R[0]
    nanoseconds_R: NDArray[np.int64] = np.rint(since_first_R * NANOSECONDS_PER_SECOND).astype(np.int64)
    return nanoseconds_R


def _nearest_rows(capture_nanoseconds_R: NDArray[np.int64], phase: float) -> NDArray[np.int64]:
    """The nearest row of every grid time up to the last row; the earlier one where two are equally near."""
    first = round(phase * GRID_PERIOD_NANOSECONDS)
    grid_nanoseconds_F = np.arange(first, capture_nanoseconds_R[-1] + 1, GRID_PERIOD_NANOSECONDS)
    doubled_midpoints = capture_nanoseconds_R[:-1] + capture_nanoseconds_R[1:]
    return np.searchsorted(doubled_midpoints, 2 * grid_nanoseconds_F, side="left").astype(np.int64)
