"""One Prefect server for all flows of these tests, with a database of its own, and small sources to build."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from pipeline import cli, prefect_server
from pipeline.workers import Workers

from ..featurize.build.builds import write_source
from .store_states import write_states


class Threads(Workers):
    """Workers for tests that do not need processes, which take seconds to start."""

    def task_runner(self):
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=1)


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_api(prefect_home: Path) -> Iterator[str]:
    """Address of a running server, to which all flows of this process report."""
    apart = temporary_settings({PREFECT_HOME: prefect_home}, restore_defaults={PREFECT_API_URL})
    nobody = mock.patch.object(prefect_server, "running_ui", return_value=None)
    with apart, nobody, prefect_server.prefect_server() as address:
        yield address


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes; in three views 21 slots, which are three tasks."""
    return write_source(tmp_path_factory.mktemp("pipeline") / "source")


StartCommand = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_permafrost(prefect_home: Path) -> Iterator[StartCommand]:
    """`start_permafrost("status", ...)` starts the command in a process group of its own."""
    started = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
            env={**os.environ, "PREFECT_HOME": str(prefect_home), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def permafrost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """`permafrost("status", store)` runs the command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["permafrost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


@pytest.fixture(scope="session")
def store_states(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store in every state, by the state's name; not to be changed."""
    return write_states(tmp_path_factory.mktemp("states"), source)
