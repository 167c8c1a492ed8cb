"""How fast one thread copies memory: the limit of a reader whose bytes lie in the page cache."""

import mmap
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.bench.rows import Amount

# Several times the last cache of most processors, so that memory is what answers.
BUFFER_BYTES: Final = 2**28


class MemoryCopy:
    """Two page-aligned buffers that are there already, and the copying of one into the other."""

    def __init__(self) -> None:
        self.source, self.target = _buffer(1), _buffer(2)

    def copied(self, seconds: float) -> Amount:
        """Bytes copied by one thread, each counted once; one copy at least."""
        started, copies, elapsed = time.perf_counter(), 0, 0.0
        while copies == 0 or elapsed < seconds:
            np.copyto(self.target, self.source)
            copies, elapsed = copies + 1, time.perf_counter() - started
        return Amount(copies * BUFFER_BYTES, elapsed)


def _buffer(value: int) -> NDArray[np.uint8]:
    """Anonymous memory begins on a page; a large array of numpy's does not, and copies slower on some."""
    buffer = np.frombuffer(mmap.mmap(-1, BUFFER_BYTES), dtype=np.uint8)
    buffer[:] = value
    return buffer
