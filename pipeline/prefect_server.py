"""One Prefect server for a run: the one that is there, or a temporary one on loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Read when prefect is imported: nothing leaves the machine, and the console shows our own progress instead.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

import httpx
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, temporary_settings

UI_HOST: Final = "127.0.0.1"
UI_PORT: Final = 4200
START_TIMEOUT_SECONDS: Final = 90
GUARD: Final = "import os, sys; sys.stdin.read(); os.kill(int(sys.argv[1]), 15)"


@contextmanager
def prefect_server() -> Iterator[str]:
    """Make every flow of this process and of its workers report to one server; yields its API address.

    A configured `PREFECT_API_URL` is used as it is, else the server of `make ui` if it answers. Otherwise a
    server without a page is started and stopped again; its runs lie in the same database, so that `make ui`
    shows them later. Left to itself, every Dask worker process would start a server of its own.
    """
    address = PREFECT_API_URL.value() or _running_ui()
    if address:
        with _use(address):
            yield address
        return
    with _temporary_server() as address, _use(address):
        try:
            yield address
        finally:
            APILogHandler().flush()


@contextmanager
def _temporary_server() -> Iterator[str]:
    # Takes seconds to import, which workers and the users of a running server are spared.
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start(timeout=START_TIMEOUT_SECONDS)
    assert server.server_process is not None
    try:
        with _guard(server.server_process.pid):
            yield server.api_url
    finally:
        server.stop()


@contextmanager
def _guard(pid: int) -> Iterator[None]:
    """End process `pid` when we are killed: our end of a pipe then closes, and a small process sees it."""
    # In a session of its own: a Ctrl-C or the end of a process group must not reach it.
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD, str(pid)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        guard.kill()
        guard.communicate()


def _running_ui() -> str | None:
    address = f"http://{UI_HOST}:{UI_PORT}/api"
    try:
        return address if httpx.get(f"{address}/health", timeout=1).status_code == httpx.codes.OK else None
    except httpx.HTTPError:
        return None


@contextmanager
def _use(address: str) -> Iterator[None]:
    """In this process's settings, and in the environment that its workers inherit."""
    before = os.environ.get("PREFECT_API_URL")
    os.environ["PREFECT_API_URL"] = address
    try:
        with temporary_settings({PREFECT_API_URL: address}):
            yield
    finally:
        if before is None:
            del os.environ["PREFECT_API_URL"]
        else:
            os.environ["PREFECT_API_URL"] = before
