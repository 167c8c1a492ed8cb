"""Which server a flow reports to, what is said where there is none, and that nobody else can reach it."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.errors import ServerLostError, SlotsFailedError
from pipeline.prefect_server import UI_PORT, prefect_server
from pipeline.workers import local_cluster

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::1"}
LIMIT_SECONDS = 90
# All that a command leaves that did nothing.
LOCKS = {"lock", "lock.json"}


@pytest.fixture
def command(source, tmp_path):
    return ["featurize", "--source", source, "--store", tmp_path / "store.zarr"]


def files_of(store):
    return {path.name for path in store.rglob("*") if path.is_file()}


@contextlib.contextmanager
def listening_socket():
    """Accepts connections, in the kernel, and answers none."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        yield bound


def free_port():
    with listening_socket() as bound:
        return bound.getsockname()[1]


@pytest.mark.parametrize("credentials", ["", "user:secret@"])
def test_a_server_that_is_not_there_is_told_at_once_and_nothing_is_done(
    permafrost, command, tmp_path, credentials
):
    port = free_port()
    with configured(f"http://{credentials}127.0.0.1:{port}/api"):
        code, out, err = permafrost(*command)
    assert (code, out) == (1, "")
    assert err == (
        f"permafrost: No Prefect server answers at http://127.0.0.1:{port}/api, which PREFECT_API_URL or "
        "your Prefect profile names: [Errno 111] Connection refused. Start that server (`make ui` starts one "
        "at http://127.0.0.1:4200/api), or unset PREFECT_API_URL to run with a temporary one. "
        "Nothing was built.\n"
    )
    assert files_of(tmp_path / "store.zarr") <= LOCKS


def test_a_server_that_takes_the_call_and_never_answers_is_given_up(permafrost, command, tmp_path):
    with listening_socket() as mute, configured(f"http://127.0.0.1:{mute.getsockname()[1]}/api"):
        code, _, err = permafrost(*command)
    assert code == 1
    assert "names: timed out. Start that server" in err
    assert files_of(tmp_path / "store.zarr") <= LOCKS


def test_something_else_that_answers_is_no_prefect_server(permafrost, command):
    with http_server(404) as address, configured(address):
        code, _, err = permafrost(*command)
    assert code == 1
    assert "404" in err


def test_a_flow_that_its_server_left_ends_with_what_to_do():
    with pytest.raises(ServerLostError, match=r"stopped answering: \[Errno 111\] .*run the same command"):
        run_flow_whose_server_goes(httpx.ConnectError("All connection attempts failed"))


def test_what_the_flow_itself_failed_with_is_not_hidden_by_the_server_it_could_not_tell():
    unreported = httpx.ConnectError("All connection attempts failed")
    unreported.__context__ = SlotsFailedError("slot 3 failed")
    with pytest.raises(SlotsFailedError, match="slot 3 failed"):
        run_flow_whose_server_goes(unreported)


def test_errors_of_a_flow_whose_server_is_there_stay_what_they_are(prefect_api):
    with pytest.raises(ZeroDivisionError), prefect_server():
        raise ZeroDivisionError


def test_a_call_that_a_server_failed_is_told_without_a_traceback(prefect_api):
    failed = r"a call to the Prefect server at http://127\.0\.0\.1:\d+/api failed: 503\. The store keeps"
    with pytest.raises(ServerLostError, match=failed), prefect_server():
        raise httpx.HTTPError("503")


def run_flow_whose_server_goes(error):
    with contextlib.ExitStack() as until_it_goes:
        address = until_it_goes.enter_context(http_server(200))
        with configured(address), prefect_server() as shown:
            assert shown == address
            until_it_goes.close()
            raise error


@contextlib.contextmanager
def http_server(status):
    """Answers every call with `status`; gives the address that a Prefect API would have there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


def configured(address):
    return temporary_settings({PREFECT_API_URL: address})


def test_the_temporary_server_is_reached_from_this_machine_alone(prefect_api):
    (server,) = [p for p in psutil.Process().children(recursive=True) if "uvicorn" in p.cmdline()]
    assert addresses_of(server) == {("127.0.0.1", httpx.URL(prefect_api).port)}


def test_make_ui_is_reached_from_this_machine_alone_whatever_the_environment_says(tmp_path):
    port = free_port()
    environment = {**os.environ, "PREFECT_SERVER_API_HOST": "0.0.0.0", "PREFECT_HOME": str(tmp_path)}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen(
        make_ui(port), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as ui:
        process = psutil.Process(ui.pid)
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/api/health")
            served = set().union(*map(addresses_of, [process, *process.children(recursive=True)]))
        finally:
            for one in [*process.children(recursive=True), process]:
                one.kill()
    assert served == {("127.0.0.1", port)}


def make_ui(port):
    """The command behind `make ui`, of this environment and on another port."""
    shown = subprocess.run(["make", "-n", "ui"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (line,) = [line for line in shown.stdout.splitlines() if "prefect server start" in line]
    assert f"--port {UI_PORT}" in line
    here = line.replace(".venv/bin/", f"{Path(sys.executable).parent}/").replace(str(UI_PORT), str(port))
    return ["env", *shlex.split(here)]


def test_dask_is_reached_from_this_machine_alone():
    process = psutil.Process()
    with local_cluster(num_workers=1):
        served = set().union(*map(addresses_of, [process, *process.children(recursive=True)]))
    assert {host for host, _ in served} <= LOOPBACK


def addresses_of(process):
    """Where a process listens, from the kernel's own table."""
    sockets = process.net_connections(kind="inet")
    return {(s.laddr.ip, s.laddr.port) for s in sockets if s.status == psutil.CONN_LISTEN}


def wait_until_it_answers(address):
    limit = time.monotonic() + LIMIT_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(address)
            return
        assert time.monotonic() < limit
        time.sleep(0.1)
