"""Processes that fill the ring, for a main thread that keeps this process's other threads from running.

A thread needs the interpreter again after every call to the system, and while another one runs Python it gets
it 200 times a second at most (`sys.getswitchinterval`): too seldom for four files a clip. A process has an
interpreter of its own, and nothing in this one has to run for it between two batches.

A reader of memory has a process to itself. Those that wait for a disk share one: they seldom run Python.

They are started by name and not by `multiprocessing`, which would import the user's script and with it torch
in every one. Each has a socket to this process, and ends when that is closed, however this process ended.
"""

import mmap
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.reader import ClipReader
from store_schema.store import Store, address_to_slot
from train.readers import RING_SIZE, Filler, Part, Ring, StoreReadError, enough_for, shared_out

WAITING_READERS_OF_A_PROCESS: Final = 8
_END_SECONDS: Final = 10.0


@contextmanager
def reading_processes(store: Store, shape: ClipShape, num_readers: int | None = None) -> Iterator[Ring]:
    """A ring in shared memory filled by processes, by default of `enough_for` readers in all.

    They end with the context.
    """
    # Without a name, so that nothing is left behind, and not in /dev/shm, which containers keep small.
    descriptor = os.memfd_create("clips")
    try:
        os.ftruncate(descriptor, _SharedRing.num_bytes(shape))
        # A copy leaves behind what the store has cached, the channel statistics in torch's tensors among it.
        reader = ClipReader.open(replace(store))
        threads = 1 if reader.is_cached else WAITING_READERS_OF_A_PROCESS
        num_processes = -(-(num_readers or enough_for(reader)) // threads)
        with ExitStack() as opened:
            processes = [opened.enter_context(_process(descriptor)) for _ in range(num_processes)]
            # After all have been started: sending the ledger of a large store waits for its process.
            for process in processes:
                process.send((reader, shape, threads))
            yield _ProcessRing(_SharedRing.mapped(descriptor, shape), processes)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, eq=False)
class _SharedRing:
    """What this process and the reading ones see.

    is_read_PB: bool, by place in the ring and row of the buffer: clips that are being read at this moment.
    """

    buffers: list[ClipBuffers]
    is_read_PB: NDArray[np.bool_]

    @staticmethod
    def num_bytes(shape: ClipShape) -> int:
        return RING_SIZE * (shape.num_bytes + shape.num_clips)

    @classmethod
    def mapped(cls, descriptor: int, shape: ClipShape) -> Self:
        memory = mmap.mmap(descriptor, cls.num_bytes(shape))
        count = RING_SIZE * shape.num_clips
        is_read = np.frombuffer(memory, np.bool_, count, offset=len(memory) - count)
        return cls(list(ClipBuffers.carved(memory, shape)), is_read.reshape(RING_SIZE, shape.num_clips))


@dataclass(frozen=True)
class _Process:
    """A reading process, the socket to it, and what it has been asked for, in order."""

    process: subprocess.Popen[bytes]
    connection: Connection
    unanswered: deque["_Reply"] = field(default_factory=deque)

    def send(self, message: object) -> None:
        """Where the process has ended, `result` finds that; what it has filled before is still wanted."""
        with suppress(OSError):
            self.connection.send(message)

    def how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(_END_SECONDS)
            if code == -signal.SIGBUS:
                return "by SIGBUS: the disk failed under it, or its file was cut"
            if code == -signal.SIGKILL:
                return "by SIGKILL: perhaps memory ran out"
            return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return "it does not answer"


@contextmanager
def _process(memory: int) -> Iterator[_Process]:
    ours, theirs = Pipe()
    # -P: what lies in the user's folder, a train.py perhaps, must not be taken for a package.
    command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(memory)]
    process = subprocess.Popen(
        command,
        pass_fds=(theirs.fileno(), memory),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        # Ctrl-C asks the training process to stop, which takes some more clips until it does.
        start_new_session=True,
    )
    theirs.close()
    with process, ours:
        try:
            yield _Process(process, ours)
        finally:
            process.terminate()


@dataclass(frozen=True, eq=False)
class _ProcessRing:
    ring: _SharedRing
    processes: Sequence[_Process]

    @property
    def buffers(self) -> Sequence[ClipBuffers]:
        return self.ring.buffers

    def start(self, place: int, first_frame_B: NDArray[np.int64]) -> Sequence[Part]:
        parts = zip(self.processes, shared_out(first_frame_B, len(self.processes)), strict=False)
        return [self._asked(process, place, row, part) for process, (row, part) in parts]

    def _asked(self, process: _Process, place: int, row: int, part: NDArray[np.int64]) -> Part:
        process.send((place, row, part))
        reply = _Reply(process, part, self.ring.is_read_PB[place, row : row + len(part)])
        process.unanswered.append(reply)
        return reply


@dataclass(frozen=True, eq=False)
class _Reply:
    """A process answers in the order in which it was asked.

    is_read_B: which of the clips of `first_frame_B` it is reading now.
    """

    process: _Process
    first_frame_B: NDArray[np.int64]
    is_read_B: NDArray[np.bool_]

    def result(self) -> None:
        try:
            error = self.process.connection.recv()
        except (EOFError, OSError) as ended:
            raise StoreReadError(
                f"A process that reads the store has ended {self._place()}{self.process.how_it_ended()}. "
                "The same command continues from the last checkpoint."
            ) from ended
        self.process.unanswered.popleft()
        if error is not None:
            raise error

    def _place(self) -> str:
        """What the process was at, perhaps already for a later batch: it had not come to answer for ours."""
        parts = (reply.first_frame_B[reply.is_read_B].tolist() for reply in self.process.unanswered)
        slots = [address_to_slot(first) for part in parts for first in part]
        if not slots:
            return ""
        clips = ", ".join(f"frame {frame} of slot {slot}" for slot, frame in slots)
        return f"while it read the clip at {clips}, "


def _serve(connection: Connection, memory: int) -> None:
    """What such a process does: fill what it is asked for, until the other side is gone."""
    with suppress(EOFError, ConnectionError):
        reader, shape, num_threads = connection.recv()
        ring = _SharedRing.mapped(memory, shape)
        work = _Work(ring, Filler(reader, ring.buffers))
        with ThreadPoolExecutor(num_threads) as threads, ThreadPoolExecutor(1) as answering:
            while True:
                place, first_row, first_frame_B = connection.recv()
                pieces = shared_out(first_frame_B, num_threads)
                found = [threads.submit(work.error_of, place, first_row + row, p) for row, p in pieces]
                answering.submit(_answer, connection, found)


def _answer(connection: Connection, found: Sequence[Future[Exception | None]]) -> None:
    """The first error of a part, or None."""
    errors = [piece.result() for piece in found]
    connection.send(next((error for error in errors if error is not None), None))


@dataclass(frozen=True, eq=False)
class _Work:
    ring: _SharedRing
    filler: Filler

    def error_of(self, place: int, first_row: int, first_frame_B: NDArray[np.int64]) -> Exception | None:
        """Fill rows; what went wrong is raised on the other side, and so must not end this one."""
        try:
            for row, first_frame in enumerate(np.split(first_frame_B, len(first_frame_B)), first_row):
                with self._noted(place, row):
                    self.filler.fill(place, row, first_frame)
        except Exception as error:  # noqa: BLE001
            return error
        return None

    @contextmanager
    def _noted(self, place: int, row: int) -> Iterator[None]:
        self.ring.is_read_PB[place, row] = True
        try:
            yield
        finally:
            self.ring.is_read_PB[place, row] = False


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
