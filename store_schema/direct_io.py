"""Reading byte ranges of files: through the page cache, or past it where it could not hold them anyway.

Past it (O_DIRECT) the disk writes into the caller's memory, in whole blocks of the file to whole blocks of
memory: nothing is copied, and nothing that other programs use is pushed out of memory.
"""

import errno
import logging
import mmap
import os
import threading
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from store_schema.layout import slot_path
from store_schema.store import Store

BLOCK_BYTES: Final = 4096
"""A multiple of the logical block size of the disks there are."""
CACHED_SHARE: Final = 0.5
"""Of memory: what the page cache is trusted to keep beside a training run."""
_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_of_thread = threading.local()
logger = logging.getLogger(__name__)


def passes_page_cache(store: Store) -> bool:
    """Whether latents are to be read past the page cache: they take more than half of the memory."""
    latent_bytes = store.stored_frames * store.specs["latents"].item_bytes
    if latent_bytes <= CACHED_SHARE * memory_bytes():
        return False
    slot = next(iter(store.ledger.written_frames))
    if not can_read_directly(store.path / slot_path(store.specs["latents"], slot)):
        logger.warning(
            "The latents of %s do not fit into memory, and its file system offers no direct I/O; they are "
            "read through the page cache, which is slower.",
            store.path.name,
        )
        return False
    return True


def memory_bytes() -> int:
    """Memory that this process may use: that of the machine, or less where its container is given less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in map(Path, _CGROUP_LIMITS):
        if file.is_file() and (text := file.read_text().strip()).isdecimal():
            limits.append(int(text))
    return min(limits)


def can_read_directly(path: Path) -> bool:
    """Whether the file's first block can be read past the page cache; tmpfs and some others refuse."""
    if not hasattr(os, "O_DIRECT"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:
            return _read_blocks(descriptor, memoryview(mmap.mmap(-1, BLOCK_BYTES)), 0) > 0
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return False


def read_buffered(path: str, out: NDArray[Any], offset: int) -> bool:
    """Fill `out` with the bytes of a file from `offset` on; False where it ends before that."""
    target, done = out.data.cast("B"), 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while done < len(target):
            count = os.preadv(descriptor, [target[done:]], offset + done)
            if count == 0:
                return False
            done += count
    finally:
        os.close(descriptor)
    return True


def read_directly(path: str, out: NDArray[Any], offset: int) -> bool:
    """The same past the page cache; over scratch memory unless both sides begin and end on blocks."""
    target = out.data.cast("B")
    begin, end = offset // BLOCK_BYTES * BLOCK_BYTES, _round_up(offset + len(target))
    fits = (begin, end) == (offset, offset + len(target)) and out.ctypes.data % BLOCK_BYTES == 0
    memory = target if fits else _scratch(end - begin)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        count = _read_blocks(descriptor, memory, begin)
    finally:
        os.close(descriptor)
    if count < offset - begin + len(target):
        return False
    if not fits:
        target[:] = memory[offset - begin : offset - begin + len(target)]
    return True


def _read_blocks(descriptor: int, memory: memoryview, offset: int) -> int:
    """Bytes read: fewer than asked for where the file ends."""
    done = 0
    while done < len(memory):
        count = os.preadv(descriptor, [memory[done:]], offset + done)
        done += count
        # Only the end of a file is not the end of a block, and nothing can be asked for from there on.
        if count == 0 or count % BLOCK_BYTES != 0:
            break
    return done


def _scratch(num_bytes: int) -> memoryview:
    """This thread's own memory, kept for its next reading."""
    scratch: memoryview | None = getattr(_of_thread, "scratch", None)
    if scratch is None or len(scratch) < num_bytes:
        scratch = _of_thread.scratch = memoryview(mmap.mmap(-1, num_bytes))
    return scratch[:num_bytes]


def _round_up(num_bytes: int) -> int:
    return -(-num_bytes // BLOCK_BYTES) * BLOCK_BYTES
