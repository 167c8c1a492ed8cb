"""`permafrost serve`: every step behind the run button of a Prefect UI, and a server where none runs."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pipeline.prefect_server  # noqa: F401 - sets what prefect reads at its import

# isort: split
import httpx
from prefect import Flow
from prefect.deployments.runner import EntrypointType, RunnerDeployment

from pipeline.deployments import DEPLOYED
from pipeline.errors import ServerLostError, ServerNotReachableError
from pipeline.patient_runner import PatientRunner, stopping_runs_first
from pipeline.prefect_server import (
    START_TIMEOUT_SECONDS,
    find_server,
    guard,
    shown_address,
    use_server,
)
from pipeline.running_ui import UI_HOST, UI_PORT, running_ui

POLL_SECONDS: Final = 2
"""How long the run button waits for its run at most."""
STOP_SECONDS: Final = 30


def serve_steps(say: Callable[[str], None]) -> None:
    """Deploy every step and run what is started, each run in a process of its own, until stopped.

    Paths in parameters are relative to the folder that this process runs in. Raises ServerNotReachableError,
    and ServerLostError where the server stops answering before all steps are deployed.
    """
    with _server(say) as address, use_server(address):
        runner = _runner(address)
        say(
            f"Serving {', '.join(flow.name for flow in DEPLOYED)} to {_page(address)}. "
            f"Paths there are relative to {Path.cwd()}. Ctrl-C stops; what runs is saved first."
        )
        with stopping_runs_first():
            asyncio.run(runner.start())


def _runner(address: str) -> PatientRunner:
    runner = PatientRunner(query_seconds=POLL_SECONDS, pause_on_shutdown=False)
    try:
        for deployment in deployments():
            runner.add_deployment(deployment)
    except httpx.HTTPError as error:
        raise ServerLostError(
            f"The Prefect server at {shown_address(address)} does not take the steps: "
            f"{str(error).splitlines()[0]}. Start `permafrost serve` again when it answers."
        ) from error
    return runner


def deployments() -> list[RunnerDeployment]:
    """One for each step, of the same name."""
    return [_deployment(flow) for flow in DEPLOYED]


def _deployment(flow: Flow[..., Any]) -> RunnerDeployment:
    deployment = flow.to_deployment(
        flow.name, description=flow.description, entrypoint_type=EntrypointType.MODULE_PATH
    )
    assert isinstance(deployment, RunnerDeployment), "outside an event loop prefect answers at once"
    # The page would send this null for every field that is left empty, and the server refuse it.
    for parameter in deployment._parameter_openapi_schema.properties.values():
        if "default" in parameter and parameter["default"] is None:
            del parameter["default"]
    return deployment


@contextmanager
def _server(say: Callable[[str], None]) -> Iterator[str]:
    """Address of the server that runs, or of one with a page, started on loopback and stopped again."""
    try:
        address = find_server()
    except ServerNotReachableError as error:
        raise ServerNotReachableError(
            f"{error} Start that server, or unset PREFECT_API_URL: `permafrost serve` then starts one itself."
        ) from error
    if address is not None:
        yield address
        return
    _require_free_port()
    say(f"Starting the Prefect UI at http://{UI_HOST}:{UI_PORT}")
    # In a session of its own: a Ctrl-C must not end it before the runs have told it how they ended.
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", UI_HOST, "--port", str(UI_PORT)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as server, guard(server.pid):  # fmt: skip
        try:
            yield _wait_until_it_answers(server)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_SECONDS)


def _require_free_port() -> None:
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind((UI_HOST, UI_PORT))
        except OSError as error:
            raise ServerNotReachableError(
                f"Port {UI_PORT} is taken by a program that is no Prefect server. Stop it, or start a "
                "Prefect server on another port and name that by PREFECT_API_URL."
            ) from error


def _wait_until_it_answers(server: "subprocess.Popen[bytes]") -> str:
    limit = time.monotonic() + START_TIMEOUT_SECONDS
    while server.poll() is None and time.monotonic() < limit:
        address = running_ui()
        if address is not None:
            return address
        time.sleep(0.2)
    raise ServerNotReachableError(
        f"The Prefect server did not start within {START_TIMEOUT_SECONDS} s. `make ui` shows what it says."
    )


def _page(address: str) -> str:
    """Where the UI lists the deployments of the server whose API is at `address`."""
    return f"{shown_address(address).removesuffix('/api')}/deployments"
