"""One Prefect server for a run: the one that is there, or a temporary one on loopback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Read when prefect is imported: nothing leaves the machine, and the console shows our own progress instead.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "CRITICAL")
# A flow that ends makes several calls, and each to a server that is gone now fails after half a minute, by
# Prefect's own default after one. Fewer tries are too few: a busy server answers 503 for seconds.
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "4")
os.environ.setdefault("PREFECT_API_REQUEST_TIMEOUT", "30")

import httpx
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pipeline.errors import OUR_PACKAGES, ServerLostError, ServerNotReachableError
from pipeline.running_ui import UI_HOST, UI_PORT, running_ui

START_TIMEOUT_SECONDS: Final = 90
ANSWER_TIMEOUT_SECONDS: Final = 10
GUARD: Final = "import os, sys; sys.stdin.read(); os.kill(int(sys.argv[1]), 15)"


@contextmanager
def prefect_server() -> Iterator[str]:
    """Make every flow of this process and of its workers report to one server; yields its API address.

    A configured `PREFECT_API_URL` is used as it is, else the server of `make ui` if it answers. Otherwise a
    server without a page is started and stopped again; its runs lie in the same database, so that `make ui`
    shows them later. Left to itself, every Dask worker process would start a server of its own.

    Raises ServerNotReachableError where the configured server does not answer, and ServerLostError where the
    server stops answering before the body has ended.
    """
    try:
        address = find_server()
    except ServerNotReachableError as error:
        raise ServerNotReachableError(
            f"{error} Start that server (`make ui` starts one at http://{UI_HOST}:{UI_PORT}/api), or unset "
            "PREFECT_API_URL to run with a temporary one. Nothing was built."
        ) from error
    if address:
        with use_server(address), _named_when_lost():
            yield shown_address(address)
        return
    with _temporary_server() as address, use_server(address):
        try:
            with _named_when_lost():
                yield address
        finally:
            APILogHandler().flush()


def find_server() -> str | None:
    """Address of the server that is configured, or of that of `make ui`; None where there is neither.

    Raises ServerNotReachableError where one is configured and does not answer.
    """
    address: str | None = PREFECT_API_URL.value() or running_ui()
    cause = None if address is None else _silence(address)
    if address is None or cause is None:
        return address
    raise ServerNotReachableError(
        f"No Prefect server answers at {shown_address(address)}, which PREFECT_API_URL or your Prefect "
        f"profile names: {cause}."
    )


def server_lost() -> str | None:
    """What to say where the server of this run answers no more; None where it does."""
    address = str(PREFECT_API_URL.value())
    cause = _silence(address)
    return (
        None
        if cause is None
        else f"the Prefect server at {shown_address(address)} stopped answering: {cause}"
    )


@contextmanager
def _named_when_lost() -> Iterator[None]:
    """Turn what a dead server does to a flow into one sentence, or into what the flow itself failed with."""
    try:
        yield
    except Exception as error:
        failed = server_lost() or _failed_call(error)
        if failed is None:
            raise
        named = _named_error_behind(error)
        raise named or ServerLostError(
            f"In the middle of the flow {failed}. The store keeps what is done; run the same command again."
        ) from error


def _failed_call(error: Exception) -> str | None:
    """What to say where a server that answers again has failed a call; None where none did."""
    if not isinstance(error, httpx.HTTPError):
        return None
    first_line = (str(error) or repr(error)).splitlines()[0]
    return (
        f"a call to the Prefect server at {shown_address(str(PREFECT_API_URL.value()))} failed: {first_line}"
    )


def _named_error_behind(error: BaseException) -> BaseException | None:
    """The error of ours that a flow could not report any more, and that Prefect's own error hides."""
    seen: BaseException | None = error
    while seen is not None and type(seen).__module__.partition(".")[0] not in OUR_PACKAGES:
        seen = seen.__context__
    return seen


def _silence(address: str) -> str | None:
    """Why the server at `address` does not answer; None where it does. Asked with the user's credentials."""
    with temporary_settings({PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: 0}):
        timeout = {"timeout": ANSWER_TIMEOUT_SECONDS}
        with get_client(httpx_settings=timeout, sync_client=True) as client:
            cause = client.api_healthcheck()
    return None if cause is None else str(cause) or type(cause).__name__


def shown_address(address: str) -> str:
    """The address without the password that it may hold."""
    return str(httpx.URL(address).copy_with(userinfo=b""))


@contextmanager
def _temporary_server() -> Iterator[str]:
    # Takes seconds to import, which workers and the users of a running server are spared.
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    # Inherited by the server: a Ctrl-C in a terminal reaches it too, and must not end it before the flow.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start(timeout=START_TIMEOUT_SECONDS)
    except RuntimeError as error:
        server.stop()
        raise ServerNotReachableError(f"No temporary Prefect server could be started: {error}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    assert server.server_process is not None
    try:
        with guard(server.server_process.pid):
            yield server.api_url
    finally:
        server.stop()


@contextmanager
def guard(pid: int) -> Iterator[None]:
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


@contextmanager
def use_server(address: str) -> Iterator[None]:
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
