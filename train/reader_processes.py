"""Processes that fill the ring, for a main thread that keeps this process's other threads from running.

A thread needs the interpreter again after every call to the system, and while another one runs Python it gets
it 200 times a second at most (`sys.getswitchinterval`): too seldom for four files a clip. A process has an
interpreter of its own, and nothing in this one has to run for it between two batches.

They are started by name and not by `multiprocessing`, which would import the user's script and with it torch
in every one. Each has a socket to this process, and ends when that is closed, however this process ended.
"""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from store_schema.buffers import ClipBuffers, ClipShape
from store_schema.reader import ClipReader
from store_schema.store import Store
from train.readers import RING_SIZE, Filler, Part, Ring, StoreReadError, enough_for, shared_out


@contextmanager
def reading_processes(store: Store, shape: ClipShape, num_readers: int | None = None) -> Iterator[Ring]:
    """A ring in shared memory filled by processes, by default `enough_for`; they end with the context."""
    num_bytes = RING_SIZE * shape.num_bytes
    # Without a name, so that nothing is left behind, and not in /dev/shm, which containers keep small.
    descriptor = os.memfd_create("clips")
    try:
        os.ftruncate(descriptor, num_bytes)
        buffers = list(ClipBuffers.carved(mmap.mmap(descriptor, num_bytes), shape))
        # A copy leaves behind what the store has cached, the channel statistics in torch's tensors among it.
        reader = ClipReader.open(replace(store))
        with ExitStack() as processes:
            connections = [
                processes.enter_context(_process(descriptor))
                for _ in range(num_readers or enough_for(reader))
            ]
            # After all have been started: sending the ledger of a large store waits for its process.
            for connection in connections:
                _send(connection, (reader, shape))
            yield _ProcessRing(buffers, connections)
    finally:
        os.close(descriptor)


@contextmanager
def _process(memory: int) -> Iterator[Connection]:
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
            yield ours
        finally:
            process.terminate()


@dataclass(frozen=True, eq=False)
class _ProcessRing:
    buffers: Sequence[ClipBuffers]
    connections: Sequence[Connection]

    def start(self, place: int, first_frame_B: NDArray[np.int64]) -> Sequence[Part]:
        parts = zip(self.connections, shared_out(first_frame_B, len(self.connections)), strict=False)
        return [_Reply.asked(connection, (place, row, part)) for connection, (row, part) in parts]


@dataclass(frozen=True)
class _Reply:
    """A process answers in the order in which it was asked."""

    connection: Connection

    @classmethod
    def asked(cls, connection: Connection, part: tuple[int, int, NDArray[np.int64]]) -> "_Reply":
        _send(connection, part)
        return cls(connection)

    def result(self) -> None:
        try:
            error = self.connection.recv()
        except (EOFError, OSError) as ended:
            raise StoreReadError(
                "A process that reads the store has ended: it was killed, perhaps because memory ran out, or "
                "it printed why. The same command continues from the last checkpoint."
            ) from ended
        if error is not None:
            raise error


def _send(connection: Connection, message: object) -> None:
    """Where the process has ended, `result` finds that; what it has filled before is still wanted."""
    with suppress(OSError):
        connection.send(message)


def _serve(connection: Connection, memory: int) -> None:
    """What such a process does: fill what it is asked for, until the other side is gone."""
    try:
        reader, shape = connection.recv()
        filler = Filler(
            reader, list(ClipBuffers.carved(mmap.mmap(memory, RING_SIZE * shape.num_bytes), shape))
        )
        while True:
            place, first_row, first_frame_B = connection.recv()
            connection.send(_error_of(filler, place, first_row, first_frame_B))
    except (EOFError, ConnectionError):
        pass


def _error_of(
    filler: Filler, place: int, first_row: int, first_frame_B: NDArray[np.int64]
) -> Exception | None:
    try:
        filler.fill(place, first_row, first_frame_B)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is raised on the other side)
        return error
    return None


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
