"""Who holds a lock is told to others; the kernel frees what a killed process held, at once."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from store_schema.errors import LocksUnsupportedError, StoreHeldError
from store_schema.locks import hold, hold_store, holder_of

_HOLDER = """
import errno, fcntl, os, signal, sys
from pathlib import Path
from store_schema.locks import hold_store

def no_flock(descriptor, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

if "no-flock" in sys.argv:
    fcntl.flock = no_flock
with hold_store(Path(sys.argv[1])):
    if "forks" in sys.argv:
        if os.fork() == 0:
            os.write(1, f"{os.getpid()}\\n".encode())
            signal.pause()
    os.write(1, b"held\\n")
    sys.stdin.read()
"""


@pytest.fixture
def start_holder(tmp_path):
    """`start_holder()` starts a process that holds the store `tmp_path/s.zarr` until its stdin is closed."""
    with ExitStack() as stack:

        def start(*options):
            command = [sys.executable, "-W", "ignore", "-c", _HOLDER, tmp_path / "s.zarr", *options]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(command, text=True, **pipes))
            stack.callback(process.kill)
            return process

        yield start


def wait_until_held(process):
    assert process.stdout.readline() == "held\n"


def test_a_second_process_is_told_who_holds_the_store_since_when_and_what_to_do(start_holder, tmp_path):
    holder = start_holder()
    wait_until_held(holder)
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    host = re.escape(os.uname().nodename)
    message = (
        rf"^Store s\.zarr is being built by process {holder.pid} on host {host} since {since} "
        rf"\(-c .*s\.zarr\)\. Wait for it, stop it, or work on other slots with --join\.$"
    )
    with pytest.raises(StoreHeldError, match=message), hold_store(tmp_path / "s.zarr"):
        pass
    holder.communicate()
    assert holder.returncode == 0
    with hold_store(tmp_path / "s.zarr"):
        pass


def test_the_lock_of_a_killed_process_is_free_at_once_and_the_next_holder_says_so(
    start_holder, tmp_path, caplog
):
    holder = start_holder()
    wait_until_held(holder)
    holder.kill()
    holder.wait()
    with hold_store(tmp_path / "s.zarr"):
        pass
    (record,) = caplog.records
    assert f"The last to work here, process {holder.pid} on host " in record.getMessage()
    # Said once: this holder left in order.
    with hold_store(tmp_path / "s.zarr"):
        pass
    assert len(caplog.records) == 1


def test_a_forked_child_that_outlives_the_holder_does_not_keep_the_lock(start_holder, tmp_path):
    holder = start_holder("forks")
    lines = {holder.stdout.readline(), holder.stdout.readline()}
    child = int((lines - {"held\n"}).pop())
    holder.kill()
    holder.wait()
    try:
        with hold_store(tmp_path / "s.zarr"):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_holds_of_one_process_nest_and_the_outermost_lets_go(start_holder, tmp_path):
    (tmp_path / "s.zarr").mkdir()
    link = tmp_path / "link.zarr"
    link.symlink_to(tmp_path / "s.zarr")
    with hold_store(tmp_path / "s.zarr"):
        with hold_store(link):
            pass
        # The inner one is left, the outer one still holds: another process is refused.
        refused = start_holder()
        assert "StoreHeldError: Store s.zarr is being built by process" in refused.communicate()[1]
    wait_until_held(start_holder())


def test_who_holds_a_store_can_be_asked_without_taking_its_lock(start_holder, tmp_path):
    holder = start_holder()
    wait_until_held(holder)
    asked = holder_of(tmp_path / "s.zarr/build")
    assert asked is not None
    assert asked.pid == holder.pid
    holder.kill()
    holder.wait()
    assert (tmp_path / "s.zarr/build/lock.json").exists()
    assert holder_of(tmp_path / "s.zarr/build") is None


def test_only_an_empty_lock_file_stays(tmp_path):
    with hold(tmp_path, what="Run x is being trained", remedy="Wait for it."):
        assert {path.name for path in tmp_path.iterdir()} == {"lock", "lock.json"}
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("lock", 0)]


def test_a_file_system_without_locks_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refusing_flock(errno.ENOLCK))
    message = r"file system of .*lock gives no file locks \(.*\), .* Mount it with locks, or use a folder on "
    with pytest.raises(LocksUnsupportedError, match=message), hold_store(tmp_path / "s.zarr"):
        pass


@pytest.mark.filterwarnings("ignore:flock not supported on this filesystem")
def test_a_file_system_without_flock_gets_a_marker_in_its_place(start_holder, tmp_path, monkeypatch):
    holder = start_holder("no-flock")
    wait_until_held(holder)
    monkeypatch.setattr(fcntl, "flock", refusing_flock(errno.ENOSYS))
    with pytest.raises(StoreHeldError, match=f"process {holder.pid} "), hold_store(tmp_path / "s.zarr"):
        pass
    holder.kill()
    holder.wait()
    with hold_store(tmp_path / "s.zarr"):
        pass


def refusing_flock(number):
    def flock(_descriptor, _operation):
        raise OSError(number, os.strerror(number))

    return flock
