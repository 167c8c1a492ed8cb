"""Prefect's runner, kept from killing the runs that it has started.

By itself it does where it is stopped, and where its server does not answer for a few seconds; a run that is
killed loses what it did since its last checkpoint.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

import httpx
import psutil
from prefect.runner import Runner

logger = logging.getLogger(__name__)
ENGINE: Final = "prefect.engine"


class PatientRunner(Runner):
    """Asks a server that is gone again and again, while its runs go on."""

    async def __aenter__(self) -> "PatientRunner":
        await super().__aenter__()
        poll = self._scheduled_run_poller._get_and_submit_flow_runs

        async def poll_patiently(task_group: Any = None) -> None:
            try:
                await poll(task_group)
            except httpx.HTTPError as error:
                logger.warning("The Prefect server does not answer, and is asked again: %s", error)

        self._scheduled_run_poller._get_and_submit_flow_runs = poll_patiently  # type: ignore[method-assign]
        return self

    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """The same as Ctrl-C; Prefect's own forgets to await what it calls."""
        signal.raise_signal(signal.SIGINT)


@contextmanager
def stopping_runs_first() -> Iterator[None]:
    """Turn the first Ctrl-C into a request to the runs to save and stop; leave when they have.

    A second one leaves at once.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _stop_runs()
        signal.default_int_handler(number, frame)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _stop_runs() -> None:
    runs = [child.pid for child in psutil.Process().children() if _is_run(child)]
    for run in runs:
        with suppress(ProcessLookupError):
            os.kill(run, signal.SIGTERM)
    for run in runs:
        with suppress(ChildProcessError):
            # Without reaping it, which is for the loop that has started it.
            os.waitid(os.P_PID, run, os.WEXITED | os.WNOWAIT)


def _is_run(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # or a zombie
        return ENGINE in child.cmdline()
    return False
