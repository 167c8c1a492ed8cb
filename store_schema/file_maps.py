"""Copying byte ranges of files that are in memory already out of maps of them, at the speed of memory.

Half of what `preadv` takes for such a range is not copying, but looking up the file's pages one by one. A map
has faults of its own: what is not in memory comes from the disk in pieces, over twice as much as was asked
for, and a disk that fails ends the process (SIGBUS). So before each copy the kernel is asked whether all of
the pages are there, which takes a sixtieth of it. Where one is not, nothing is copied, and the caller reads.
A page that is lost within the 0.3 ms between the two, to a disk that has failed, still ends the process.
"""

import ctypes
import mmap
import os
import sys
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES: Final = 2**18
"""Of a range: a smaller one is read sooner than it is asked for."""
MOST_MAPS: Final = 2**14
"""A process may have 65,530 of them, and needs some for other things."""
_FAILED: Final = ctypes.c_void_p(-1).value
_of_thread = threading.local()
# `mmap` of the standard library keeps a file open for each map, and few may be.
_libc = ctypes.CDLL(None)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_size_t)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


class FileMaps:
    """Maps of whole files, each made when a range of it is first asked for; safe to use from many threads."""

    def __init__(self) -> None:
        self._map_of: dict[str, _Map] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process there are none."""
        return type(self), ()

    def copy(self, path: str, out: NDArray[Any], offset: int) -> bool:
        """Fill `out`, contiguous, with the bytes of a file from `offset` on, if all of them are in memory.

        Returns whether it did. Raises OSError where there is no such file.
        """
        if out.nbytes < LEAST_BYTES or sys.platform != "linux":
            return False
        mapped = self._of(path)
        if mapped is None or not mapped.is_in_memory(offset, out.nbytes):
            return False
        ctypes.memmove(out.ctypes.data, mapped.address + offset, out.nbytes)
        return True

    def _of(self, path: str) -> "_Map | None":
        mapped, file = self._map_of.get(path), _identity(Path(path).stat())
        # A page of a file that was cut may stay in memory, where touching it ends the process.
        if mapped is not None and mapped.file == file:
            return mapped
        if mapped is None and len(self._map_of) >= MOST_MAPS:
            return None
        mapped = self._map_of[path] = _Map.of(path)
        return mapped


@dataclass(frozen=True, eq=False)
class _Map:
    """A file that lies at an address until this is forgotten.

    num_bytes: 0 where nothing is mapped, since the kernel would not say what is in memory.
    """

    file: tuple[int, int, int]
    address: int
    num_bytes: int

    @classmethod
    def of(cls, path: str) -> Self:
        """Raises OSError."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            # Of a file that is neither ours nor writable `mincore` says that all of it is there.
            is_told = status.st_uid == os.geteuid() or os.access(path, os.W_OK)
            if not is_told or status.st_size == 0:
                return cls(_identity(status), 0, 0)
            address = _libc.mmap(None, status.st_size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        finally:
            os.close(descriptor)
        if address == _FAILED:
            return cls(_identity(status), 0, 0)
        mapped = cls(_identity(status), address, status.st_size)
        weakref.finalize(mapped, _libc.munmap, address, status.st_size)
        return mapped

    def is_in_memory(self, offset: int, num_bytes: int) -> bool:
        """Whether the page cache holds all pages of a range."""
        if offset + num_bytes > self.num_bytes:
            return False
        begin = offset // mmap.PAGESIZE * mmap.PAGESIZE
        length = offset + num_bytes - begin
        present_P = _pages(-(-length // mmap.PAGESIZE))
        status = _libc.mincore(self.address + begin, length, present_P.ctypes.data)
        return status == 0 and bool(present_P.all())


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """Differs for a file of another length, and for one that took the place of another."""
    return status.st_dev, status.st_ino, status.st_size


def _pages(number: int) -> NDArray[np.uint8]:
    """This thread's own memory for a byte a page, kept for its next reading."""
    pages: NDArray[np.uint8] | None = getattr(_of_thread, "pages", None)
    if pages is None or len(pages) < number:
        pages = _of_thread.pages = np.zeros(number, dtype=np.uint8)
    return pages[:number]
