"""Files whose reader waits until somebody writes, and who that reader is: a real way to get stuck."""

import os
import time
from pathlib import Path
from threading import Thread

import psutil


def make_fifo(path: Path) -> Path:
    """Opening it for reading waits, in the kernel, until it is opened for writing."""
    os.mkfifo(path)
    return path


def reader_of(fifo: Path) -> psutil.Process:
    """The process, not this one, that has it open, once it has: its opening ends a little after ours."""
    while True:
        for process in psutil.process_iter():
            if process.pid != os.getpid() and str(fifo) in _open_files(process):
                return process
        time.sleep(0.01)


def serve(fifo: Path, *answers: bytes | int) -> Thread:
    """Give the first reader the first answer, and so on: bytes, or a signal in the middle of its reading."""

    def answer_all() -> None:
        for answer in answers:
            with open(fifo, "wb") as file:  # noqa: PTH123 - waits for a reader
                if isinstance(answer, bytes):
                    file.write(answer)
                else:
                    reader = reader_of(fifo)
                    reader.send_signal(answer)
                    reader.wait()

    thread = Thread(target=answer_all, daemon=True)
    thread.start()
    return thread


def _open_files(process: psutil.Process) -> list[str]:
    """psutil's own list leaves out what is no regular file."""
    try:
        return [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
    except OSError:  # another user's, or gone
        return []
