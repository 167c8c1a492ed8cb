"""Real crashes, real endless waits and real kills, in the children that read foreign files."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import av
import psutil
import pytest
from tblib import pickling_support

from featurize.errors import ReaderUnavailableError
from featurize.isolation import ForeignReader
from featurize.rejects import RejectReason, UnusableError
from featurize.video.container import VideoUnreadableError
from featurize.video.verify import verify_decodes

from .droid_files import write_video
from .fifos import make_fifo, reader_of, serve

DEREFERENCE_NULL = partial(ctypes.string_at, 0)
LIMIT_SECONDS = 30
# Readable without going back.
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


@pytest.fixture
def reader():
    with ForeignReader(num_processes=1, timeout_seconds=LIMIT_SECONDS) as reader:
        yield reader


@pytest.fixture
def impatient_reader():
    with ForeignReader(num_processes=1, timeout_seconds=0.3) as reader:
        yield reader


@pytest.fixture
def fifo(tmp_path):
    return make_fifo(tmp_path / "1.mp4")


def test_work_is_done_in_one_child_that_stays(reader):
    child = reader.run(os.getpid, "asking")
    assert child != os.getpid()
    assert reader.run(os.getpid, "asking") == child


def test_what_the_work_raises_is_raised(reader):
    with pytest.raises(
        VideoUnreadableError, match=r"^none\.mp4 cannot be read: No such file or directory\.$"
    ):
        reader.run(partial(verify_decodes, Path("none.mp4"), 1), "decoding none.mp4")
    with pytest.raises(ZeroDivisionError):
        reader.run(partial(divmod, 1, 0), "dividing")


def fault_with_a_cause_that_cannot_be_pickled():
    pickling_support.install()  # as distributed does: causes are pickled too
    try:
        raise av.error.MemoryError(12, "Cannot allocate memory", "1.mp4")
    except MemoryError as error:
        raise VideoUnreadableError("1.mp4 cannot be read: Cannot allocate memory.") from error


def test_a_fault_is_raised_whatever_caused_it(reader):
    with pytest.raises(VideoUnreadableError, match="Cannot allocate memory"):
        reader.run(fault_with_a_cause_that_cannot_be_pickled, "decoding 1.mp4")


@pytest.mark.parametrize(
    ("work", "cause"),
    [
        (DEREFERENCE_NULL, "SIGSEGV"),
        (partial(os._exit, 3), "exit code 3"),
        (
            partial(eval, "__import__('os').kill(__import__('os').getpid(), 9)"),
            r"SIGKILL \(was memory short\?\)",
        ),
    ],
    ids=["null pointer", "exit", "killed"],
)
def test_work_that_crashes_twice_is_given_up_and_the_next_is_done(reader, work, cause):
    with pytest.raises(UnusableError) as caught:
        reader.run(work, "decoding 1.mp4")
    assert caught.value.reason == RejectReason.READER_CRASHED
    assert caught.match(
        rf"^decoding 1\.mp4 ended its process with {cause}, 2 times; mend the file or leave the episode out\."
    )
    assert reader.run(partial(divmod, 7, 2), "dividing") == (3, 1)


def test_a_decode_that_does_not_end_is_stopped_and_the_next_is_done(impatient_reader, fifo):
    """The limit grows with the frames: 0.3 s, and 0.2 s for each of two."""
    with pytest.raises(UnusableError) as caught:
        impatient_reader.run(partial(verify_decodes, fifo, 1), "decoding 1.mp4", num_frames=2)
    assert caught.value.reason == RejectReason.READER_STUCK
    assert caught.match(
        r"^decoding 1\.mp4 was stopped after 0\.7 s, 2 times; mend the file, "
        r"or raise read_timeout_seconds where the disk is slow\.$"
    )
    assert impatient_reader.run(partial(divmod, 7, 2), "dividing") == (3, 1)


def test_a_child_killed_in_the_middle_of_a_decode_costs_nothing(reader, fifo, tmp_path):
    video = write_video(tmp_path / "whole.mp4", num_frames=12, container_options=FRAGMENTED)
    served = serve(fifo, signal.SIGKILL, video.read_bytes())
    reader.run(partial(verify_decodes, fifo, 12), "decoding 1.mp4")
    served.join(LIMIT_SECONDS)
    assert not served.is_alive()


def test_a_child_killed_while_it_has_nothing_to_do_is_replaced(reader):
    child = psutil.Process(reader.run(os.getpid, "asking"))
    child.kill()
    child.wait(LIMIT_SECONDS)
    assert reader.run(os.getpid, "asking") != child.pid


def test_closing_ends_a_call_that_does_not_end(fifo):
    reader = ForeignReader(num_processes=1, timeout_seconds=LIMIT_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(reader.run, partial(verify_decodes, fifo, 1), "decoding 1.mp4")
        with open(fifo, "wb"):  # noqa: PTH123 - waits for the child
            child = reader_of(fifo)
            reader.close()
        with pytest.raises(CancelledError):
            stuck.result(LIMIT_SECONDS)
        assert not child.is_running()
    with pytest.raises(CancelledError):
        reader.run(os.getpid, "asking")


def test_a_process_that_may_have_no_children_is_told_what_to_set(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(ReaderUnavailableError, match="set DASK_DISTRIBUTED__WORKER__DAEMON=False where"):
        ForeignReader(num_processes=1, timeout_seconds=LIMIT_SECONDS)


HANG_WITH_THE_INTERPRETER_HELD = """
import os, signal
from functools import partial
# Jobs in the background inherit it as ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from featurize.isolation import ForeignReader
code = "print(__import__('os').getpid(), flush=True) or __import__('ctypes').PyDLL(None).sleep(1000)"
with ForeignReader(num_processes=1, timeout_seconds=1000) as reader:
    reader.run(partial(eval, code), "sleeping")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(number):
    """Native code that never returns and holds the interpreter, so that no thread of the child can act."""
    command = [sys.executable, "-c", HANG_WITH_THE_INTERPRETER_HELD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        child = int(parent.stdout.readline())
        processes = psutil.Process(parent.pid).children(recursive=True)
        assert child in [process.pid for process in processes]
        parent.send_signal(number)
        parent.wait(LIMIT_SECONDS)
    _, left_running = psutil.wait_procs(processes, timeout=LIMIT_SECONDS)
    assert left_running == []


NAME_THE_MODULES = """
from functools import partial
from featurize.isolation import ForeignReader
with ForeignReader(num_processes=1, timeout_seconds=1000) as reader:
    print(*reader.run(partial(eval, "list(__import__('sys').modules)"), "asking"))
"""


def test_a_child_imports_neither_torch_nor_prefect():
    """In a program of its own: other tests fork their children from a process with torch."""
    command = [sys.executable, "-c", NAME_THE_MODULES]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert {"h5py", "av"} <= set(output.split())
    assert not {"torch", "prefect", "tensorstore"} & set(output.split())
