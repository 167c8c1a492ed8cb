"""Which capture time stamps can be trusted. Shape suffix: R source rows."""

import numpy as np
from numpy.typing import NDArray

from featurize.clock import (
    GRID_PERIOD_NANOSECONDS,
    NANOSECONDS_PER_SECOND,
    Clock,
    nanoseconds_since_first,
)
from featurize.rejects import RejectReason, UnusableError

# Thirty years: nanoseconds since the first row must fit into 64 bits, twice over.
LONGEST_SECONDS = 1e9


def check_capture_times(capture_seconds_R: NDArray[np.float64] | None, clock: Clock, camera: str) -> None:
    """Raise UnusableError unless the times are finite, increase, and on `physical` leave no gap.

    Missing ones are accepted on `mp4_nominal`, which does not read them; false ones are not, since they are
    stored. A gap longer than the grid's period is refused on `physical`: the row nearest to a grid time
    inside it would show another moment, and one row could be nearest to two grid times. Without such gaps the
    grid's rows increase.
    """
    if capture_seconds_R is None:
        if clock is Clock.PHYSICAL:
            raise UnusableError(
                RejectReason.TIMESTAMPS_MISSING,
                f"{camera} has no capture time stamps; the physical clock needs them, mp4_nominal does not.",
            )
        return
    _check_finite(capture_seconds_R, camera)
    _check_range(capture_seconds_R, camera)
    step_nanoseconds = np.diff(nanoseconds_since_first(capture_seconds_R))
    _check_increasing(step_nanoseconds, camera)
    if clock is Clock.PHYSICAL:
        _check_no_gap(step_nanoseconds, camera)


def _check_finite(capture_seconds_R: NDArray[np.float64], camera: str) -> None:
    bad_rows = np.flatnonzero(~np.isfinite(capture_seconds_R))
    if bad_rows.size:
        raise UnusableError(
            RejectReason.TIMESTAMPS_NOT_FINITE,
            f"{camera} has NaN or infinite times at {bad_rows.size} rows, the first is {bad_rows[0]}.",
        )


def _check_range(capture_seconds_R: NDArray[np.float64], camera: str) -> None:
    bad_rows = np.flatnonzero(np.abs(capture_seconds_R) > LONGEST_SECONDS)
    if bad_rows.size:
        row = int(bad_rows[0])
        raise UnusableError(
            RejectReason.TIMESTAMPS_GAP,
            f"{camera} captured row {row} {capture_seconds_R[row]:.3g} s after row 0; "
            f"expected at most {LONGEST_SECONDS:g} s.",
        )


def _check_increasing(step_nanoseconds: NDArray[np.int64], camera: str) -> None:
    bad_rows = np.flatnonzero(step_nanoseconds <= 0)
    if not bad_rows.size:
        return
    row = int(bad_rows[0])
    step_seconds = step_nanoseconds[row] / NANOSECONDS_PER_SECOND
    reason = RejectReason.TIMESTAMPS_BACKWARDS if step_seconds else RejectReason.TIMESTAMPS_STALLED
    raise UnusableError(
        reason, f"{camera} captured row {row + 1} {step_seconds:.3f} s after row {row}; times must increase."
    )


def _check_no_gap(step_nanoseconds: NDArray[np.int64], camera: str) -> None:
    bad_rows = np.flatnonzero(step_nanoseconds > GRID_PERIOD_NANOSECONDS)
    if bad_rows.size:
        row = int(bad_rows[0])
        gap_seconds = step_nanoseconds[row] / NANOSECONDS_PER_SECOND
        longest_seconds = GRID_PERIOD_NANOSECONDS / NANOSECONDS_PER_SECOND
        raise UnusableError(
            RejectReason.TIMESTAMPS_GAP,
            f"{camera} captured row {row + 1} {gap_seconds:.3f} s after row {row}; "
            f"the physical clock allows at most {longest_seconds} s.",
        )
