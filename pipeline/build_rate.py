"""How fast the slots of a store are being finished, from when their rows appeared in the ledger."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from store_schema.format import LEDGER_FOLDER

RECENT_SLOTS: Final = 64
# Workers finish slots side by side, so gaps differ much; one that is so much longer than usual is a pause.
PAUSE_SECONDS: Final = 60.0
PAUSE_IN_GAPS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class BuildRate:
    """What the last slots say about the next ones.

    idle_seconds: since the last slot was finished; None where the ledger has no row of its own.
    frames_per_second, seconds_left: None with fewer than two slots since the last pause, and in a pause.
    """

    idle_seconds: float | None = None
    frames_per_second: float | None = None
    seconds_left: float | None = None


def build_rate(
    store: Path, planned: Mapping[int, int], missing_frames: int, now: float | None = None
) -> BuildRate:
    """The rate of the build of `store` since it last paused, from its last 64 slots at most.

    planned: frames of every slot by number; missing_frames: those of the slots that are not settled.
    now: seconds since 1970, by default the present. Times are those of the files, so a copy made without them
    tells of the copying. Rejected slots count like the others: they are work that is done.
    """
    slots, times = _last_rows(store)
    if len(slots) == 0:
        return BuildRate()
    idle_seconds = max((time.time() if now is None else now) - float(times[-1]), 0.0)
    slots, times = _since_pause(slots, times)
    span_seconds = float(times[-1] - times[0])
    if span_seconds <= 0 or idle_seconds > _longest_gap(times):
        return BuildRate(idle_seconds=idle_seconds)
    # The first slot only starts the clock: when its work began is not known.
    frames_per_second = sum(planned.get(int(slot), 0) for slot in slots[1:]) / span_seconds
    return BuildRate(
        idle_seconds=idle_seconds,
        frames_per_second=frames_per_second,
        seconds_left=missing_frames / frames_per_second if frames_per_second else None,
    )


def _last_rows(store: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Slots and times of the last rows, in the order of their times."""
    found = []
    # `finalise` may be removing rows, and then their folder, meanwhile.
    with suppress(FileNotFoundError), os.scandir(store / LEDGER_FOLDER) as entries:
        for entry in entries:
            slot, _, extension = entry.name.partition(".")
            if extension == "json" and slot.isdecimal():
                found.append((entry.stat().st_mtime, int(slot)))
    last = sorted(found)[-RECENT_SLOTS:]
    return np.array([slot for _, slot in last], dtype=np.int64), np.array([when for when, _ in last])


def _since_pause(
    slots: NDArray[np.int64], times: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    pauses = np.flatnonzero(np.diff(times) > _longest_gap(times))
    first = int(pauses[-1]) + 1 if len(pauses) else 0
    return slots[first:], times[first:]


def _longest_gap(times: NDArray[np.float64]) -> float:
    """The longest gap between two slots that is still work, in seconds."""
    gaps = np.diff(times)
    return max(PAUSE_SECONDS, PAUSE_IN_GAPS * float(np.median(gaps))) if len(gaps) else PAUSE_SECONDS
