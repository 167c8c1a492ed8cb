"""When things happened: the clocks of a recording at nominally 15 Hz, in whole milliseconds as in DROID.

The control loop sleeps away the rest of each 1/15 s, so that its steps are never short and at times long. The
cameras run freely at 60 Hz: a step gets the first frame that arrives after it asks, which moves the capture
times to and fro by up to a frame. DROID takes the capture to be two and a half frames before the arrival. The
pictures themselves show the moment at which the row's robot state is read.
R rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featurize.demo_data.geometry import Floats

ROW_HZ = 15.0
CAMERA_HZ = 60.0

_LATENCY_MS = int(2.5 * 1000 / CAMERA_HZ)
_LATE_STEP_SHARE = 0.03

Milliseconds = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraClock:
    """Times (R,) of one camera's readings in milliseconds since 1970."""

    read_start: Milliseconds
    read_end: Milliseconds
    frame_received: Milliseconds
    estimated_capture: Milliseconds


def draw_row_seconds(rng: np.random.Generator, num_rows: int) -> Floats:
    """Times (R,) at which the control loop's steps begin, in seconds since the first."""
    late = rng.random(num_rows - 1) < _LATE_STEP_SHARE
    overrun = np.where(late, rng.uniform(0.004, 0.02, num_rows - 1), rng.uniform(0.0, 0.0015, num_rows - 1))
    return np.concatenate([[0.0], np.cumsum(1.0 / ROW_HZ + overrun)])


def draw_camera_clock(rng: np.random.Generator, row_seconds: Floats, start_ms: int) -> CameraClock:
    """The clock of a camera whose free-running frames are at a random phase to the rows (R,)."""
    ask = row_seconds + rng.uniform(0.003, 0.005, len(row_seconds))
    phase = rng.uniform(0.0, 1.0)
    arrival = (np.ceil(ask * CAMERA_HZ - phase) + phase) / CAMERA_HZ
    received = milliseconds(arrival, start_ms)
    return CameraClock(
        read_start=milliseconds(ask, start_ms),
        read_end=received + rng.integers(1, 4, len(row_seconds)),
        frame_received=received,
        estimated_capture=received - _LATENCY_MS,
    )


def milliseconds(seconds: Floats, start_ms: int) -> Milliseconds:
    """Seconds since the start as whole milliseconds since 1970."""
    return start_ms + np.rint(1000.0 * seconds).astype(np.int64)
