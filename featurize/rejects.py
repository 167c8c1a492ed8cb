"""Why an episode cannot be used: the reasons, and the two exceptions that carry them.

Whatever finds a fault raises `UnusableError` without knowing whose fault it is; `rejecting` turns it into an
`EpisodeRejected` that names the episode and the stage, which is one row of the store's rejects table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, Literal

Stage = Literal["index", "encode"]
LONGEST_DETAIL: Final = 1000


class RejectReason(StrEnum):
    """The kinds of fault that a rejects table counts."""

    FOLDER_UNREADABLE = "folder_unreadable"
    FILE_OUTSIDE_EPISODE = "file_outside_episode"
    NO_METADATA = "no_metadata"
    TWO_METADATA = "two_metadata"
    METADATA_INVALID = "metadata_invalid"
    H5_MISSING = "h5_missing"
    H5_UNREADABLE = "h5_unreadable"
    H5_MISSING_KEY = "h5_missing_key"
    H5_MALFORMED = "h5_malformed"
    STATES_NOT_FINITE = "states_not_finite"
    STATES_OUT_OF_RANGE = "states_out_of_range"
    VIDEO_MISSING = "video_missing"
    VIDEO_OUTSIDE_EPISODE = "video_outside_episode"
    VIDEO_UNREADABLE = "video_unreadable"
    LENGTH_MISMATCH = "length_mismatch"
    TIMESTAMPS_MISSING = "timestamps_missing"
    TIMESTAMPS_NOT_FINITE = "timestamps_not_finite"
    TIMESTAMPS_STALLED = "timestamps_stalled"
    TIMESTAMPS_BACKWARDS = "timestamps_backwards"
    TIMESTAMPS_GAP = "timestamps_gap"
    TOO_SHORT = "too_short"
    DUPLICATE_EPISODE = "duplicate_episode"
    CHANGED_SINCE_INDEX = "changed_since_index"
    READER_CRASHED = "reader_crashed"
    READER_STUCK = "reader_stuck"
    LATENTS_NOT_FINITE = "latents_not_finite"


TRIED_TWICE: Final = frozenset({RejectReason.READER_CRASHED, RejectReason.READER_STUCK})
"""What `isolation` gives up after a second try of its own."""


class UnusableError(Exception):
    """Something an episode is made of cannot be used; `detail` says what was expected and what was found."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        detail = _for_table(detail)
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class EpisodeRejected(Exception):  # noqa: N818 - a verdict that goes into a table, not a failure of the program
    """An episode that cannot be used. Picklable, so that it survives the way back from a worker process."""

    def __init__(self, episode_id: str, stage: Stage, reason: RejectReason, detail: str) -> None:
        super().__init__(episode_id, stage, reason, detail)
        self.episode_id = episode_id
        self.stage: Stage = stage
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"Episode {self.episode_id}: {self.detail}"


@contextmanager
def rejecting(episode_id: str, stage: Stage) -> Iterator[None]:
    """Turn a fault in the body into an `EpisodeRejected` of this episode and stage; other exceptions pass."""
    try:
        yield
    except (UnusableError, EpisodeRejected) as error:
        raise EpisodeRejected(episode_id, stage, error.reason, error.detail) from error


def printable(text: str) -> str:
    """`text` with what is no UTF-8 escaped: Linux allows any bytes in a name, tables and terminals do not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _for_table(detail: str) -> str:
    """Foreign data are quoted in details; a folder of 100,000 metadata files would fill the table."""
    text = printable(detail)
    rest = len(text) - LONGEST_DETAIL
    return f"{text[:LONGEST_DETAIL]}... and {rest} more characters" if rest > 0 else text
