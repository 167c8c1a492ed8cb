"""Foreign files are read in child processes, so that one that crashes or hangs native code costs only itself.

h5py, FFmpeg and decord run native code on bytes that we did not make. A segmentation fault there would end
the build and an endless loop would hold it for ever; neither can be caught in the process it happens in. A
child that dies or takes too long is replaced and its work tried once more: a disk that hangs for a minute, or
a child killed for want of memory, is no fault of the episode. Then the episode is given up.
"""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from queue import LifoQueue
from threading import Lock
from typing import Any, Final, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from featurize.errors import ReaderUnavailableError
from featurize.parent_death import end_with_parent
from featurize.rejects import EpisodeRejected, RejectReason, UnusableError

NUM_TRIES: Final = 2
# Decoding a frame of 1280 x 720 takes some 2 ms of one core (seen).
SECONDS_PER_FRAME: Final = 0.2
START_SECONDS: Final = 120.0
# What the children need, without torch: imported once, by the process that they are forked from. The main
# module is among it because multiprocessing would import it in each of them.
PRELOADED: Final = [
    "__main__",
    "featurize.sources.droid_raw",
    "featurize.video.shared",
    "featurize.isolation",
]

Result = TypeVar("Result")


class ForeignReader:
    """Child processes that read foreign files. As many threads as there are children may call `run` at once.

    timeout_seconds: what one call may take, to which SECONDS_PER_FRAME are added for each video frame in it.
    Raises ReaderUnavailableError in a process that may have no children. A script needs the usual
    `if __name__ == "__main__":` of multiprocessing.
    """

    def __init__(self, *, num_processes: int, timeout_seconds: float) -> None:
        _require_may_have_children()
        self.timeout_seconds = timeout_seconds
        self._children = [_Child() for _ in range(num_processes)]
        # The last one used comes first, so that no more are started than are needed.
        self._idle: LifoQueue[_Child] = LifoQueue()
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, work: Callable[[], Result], what: str, *, num_frames: int = 0) -> Result:
        """The result of `work`, a call that can be pickled, done in a child.

        what: begins the message of a failure ("decoding 1.mp4"). num_frames: how many are decoded. Raises
        what `work` raises; UnusableError where the child crashed or took too long; ReaderUnavailableError
        where none could be started; CancelledError after `close`.
        """
        limit_seconds = self.timeout_seconds + SECONDS_PER_FRAME * num_frames
        child = self._idle.get()
        try:
            for _ in range(NUM_TRIES - 1):
                try:
                    return child.run(work, limit_seconds)
                except (ProcessExpired, BrokenProcessPool, TimeoutError):
                    continue
            return _last_try(child, work, what, limit_seconds)
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the children at once, whatever they are doing."""
        for child in self._children:
            child.stop()
        for child in self._children:
            child.join()


class _Child:
    """One process, started when it is needed.

    It is a pool of its own: the children of one pool share locks, and one that is killed while it holds them
    stops the others.
    """

    def __init__(self) -> None:
        self._pool = _new_pool()
        self._future: Future[Any] | None = None
        self._lock = Lock()
        self._stopped = False

    def run(self, work: Callable[[], Result], limit_seconds: float) -> Result:
        """Raises ProcessExpired, TimeoutError, or BrokenProcessPool where the process did not come up."""
        future = self._schedule(work, limit_seconds)
        try:
            return future.result(limit_seconds + START_SECONDS)
        except (ProcessExpired, BrokenProcessPool):
            self._replace()
            raise
        except TimeoutError:
            self._replace()
            if not future.done():
                raise BrokenProcessPool(f"it did not begin within {START_SECONDS:g} s") from None
            raise

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._future is not None:
                self._future.cancel()
            self._pool.stop()

    def join(self) -> None:
        self._pool.join()

    def _schedule(self, work: Callable[[], Result], limit_seconds: float) -> Future[Result]:
        with self._lock:
            if self._stopped:
                raise CancelledError
            if not self._pool.active:  # it died while it had nothing to do
                _end(self._pool)
                self._pool = _new_pool()
            future: Future[Result] = self._pool.schedule(_call, args=(work,), timeout=limit_seconds)
            self._future = future
            return future

    def _replace(self) -> None:
        with self._lock:
            _end(self._pool)
            if not self._stopped:
                self._pool = _new_pool()


def _call(work: Callable[[], Result]) -> Result:
    """A fault crosses processes with its causes, and some of FFmpeg's, such as its MemoryError, cannot."""
    try:
        return work()
    except (UnusableError, EpisodeRejected) as fault:
        fault.__cause__ = fault.__context__ = None
        raise


def _last_try(child: _Child, work: Callable[[], Result], what: str, limit_seconds: float) -> Result:
    try:
        return child.run(work, limit_seconds)
    except ProcessExpired as died:
        detail = (
            f"{what} ended its process with {_cause(died.exitcode)}, {NUM_TRIES} times; "
            "mend the file or leave the episode out."
        )
        raise UnusableError(RejectReason.READER_CRASHED, detail) from died
    except TimeoutError as error:
        detail = (
            f"{what} was stopped after {limit_seconds:g} s, {NUM_TRIES} times; mend the file, or raise "
            "read_timeout_seconds where the disk is slow."
        )
        raise UnusableError(RejectReason.READER_STUCK, detail) from error
    except BrokenProcessPool as error:
        raise ReaderUnavailableError(
            f"The process that reads source files did not start: {error or error.__cause__}. Is memory left, "
            "and may this user start processes? Run the same command again."
        ) from error


def _cause(exitcode: int) -> str:
    if exitcode == -signal.SIGKILL:
        return "SIGKILL (was memory short?)"
    return signal.Signals(-exitcode).name if exitcode < 0 else f"exit code {exitcode}"


def _new_pool() -> ProcessPool:
    context = multiprocessing.get_context("forkserver")  # tensorstore must not be forked
    context.set_forkserver_preload(PRELOADED)
    return ProcessPool(max_workers=1, initializer=end_with_parent, context=context)


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _require_may_have_children() -> None:
    if multiprocessing.current_process().daemon:
        raise ReaderUnavailableError(
            "Source files are read in child processes, which this process may not have. For the workers of a "
            "Dask cluster set DASK_DISTRIBUTED__WORKER__DAEMON=False where they are started."
        )
