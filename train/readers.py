"""Who fills the ring of buffers; here threads of this process, in `reader_processes.py` processes.

Reading processes import this, so it does without torch. Legend: B clips of a micro-batch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.reader import ClipReader
from store_schema.store import Store, address_to_slot

RING_SIZE: Final = 3
CACHED_READERS: Final = 2
"""Two copy 1.5 times as much as one."""
WAITING_READERS: Final = 32
"""A clip that is not in memory is one large request after several small ones, which keep a disk waiting: 16
and more were 1.2 to 1.4 times as fast as 8, in the first epoch and later."""
THREAD_NAME: Final = "clip-reader"


class StoreReadError(OSError):
    """The operating system could not read a slot, or has ended a process that reads."""


class Part(Protocol):
    """Some rows of a buffer that are being filled."""

    def result(self) -> None:
        """Wait until they are; raises what their reader did."""


class Ring(Protocol):
    """Buffers that are filled again and again."""

    @property
    def buffers(self) -> Sequence[ClipBuffers]:
        """Each is filled, then handed out, then filled again."""

    def start(self, place: int, first_frame_B: NDArray[np.int64]) -> Sequence[Part]:
        """Begin to fill the first rows of the buffer at `place`. Parts are waited for in order of start."""


OpenRing = Callable[[Store, ClipShape], AbstractContextManager[Ring]]


@dataclass(frozen=True, eq=False)
class Filler:
    """Reads clips into the buffers of a ring."""

    reader: ClipReader
    buffers: Sequence[ClipBuffers]

    def fill(self, place: int, first_row: int, first_frame_B: NDArray[np.int64]) -> None:
        """Fill rows of the buffer at `place`, from `first_row` on.

        Raises what ClipReader does, and StoreReadError.
        """
        for row, first_frame in enumerate(first_frame_B.tolist(), first_row):
            try:
                self.reader.read(first_frame, self.buffers[place], row)
            except OSError as error:
                slot, frame = address_to_slot(first_frame)
                raise StoreReadError(
                    f"The clip at frame {frame} of slot {slot} cannot be read: {error}. Check the disk; "
                    "the same command then continues from the last checkpoint."
                ) from error


@contextmanager
def reading_threads(store: Store, shape: ClipShape, num_readers: int | None = None) -> Iterator[Ring]:
    """A ring filled by threads, by default as many as `enough_for`; they have ended with the context."""
    reader = ClipReader.open(store)
    num_readers = num_readers or enough_for(reader)
    buffers = [ClipBuffers.of_shape(shape) for _ in range(RING_SIZE)]
    with ThreadPoolExecutor(num_readers, THREAD_NAME) as threads:
        try:
            yield _ThreadRing(Filler(reader, buffers), threads, num_readers)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def enough_for(reader: ClipReader) -> int:
    """How many read at once."""
    return CACHED_READERS if reader.is_cached else WAITING_READERS


@dataclass(frozen=True, eq=False)
class _ThreadRing:
    filler: Filler
    threads: ThreadPoolExecutor
    num_readers: int

    @property
    def buffers(self) -> Sequence[ClipBuffers]:
        return self.filler.buffers

    def start(self, place: int, first_frame_B: NDArray[np.int64]) -> Sequence[Part]:
        parts = shared_out(first_frame_B, self.num_readers)
        return [self.threads.submit(self.filler.fill, place, row, part) for row, part in parts]


def shared_out(first_frame_B: NDArray[np.int64], num_readers: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """First row and addresses of each reader's part; none is empty."""
    row = 0
    for part in np.array_split(first_frame_B, min(num_readers, len(first_frame_B))):
        yield row, part
        row += len(part)
