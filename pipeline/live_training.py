"""What the page of a flow run shows while a run trains: how far it is, its losses, and every validation.

A thread of its own writes to the server, so that updates never wait for it. Where the server is gone nothing
more is shown: a picture of the training is not worth the training.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final

import httpx
from prefect import get_run_logger
from prefect.exceptions import ObjectNotFound

from pipeline.artifact_tables import Row, validation_row
from pipeline.artifacts import Shown
from train.loop import Progress
from train.run_folder import RunFolder

PERIOD_SECONDS: Final = 2.0
LOG_PERIOD_SECONDS: Final = 30.0
Logger = logging.Logger | logging.LoggerAdapter[Any]


@contextmanager
def live_training(folder: RunFolder) -> Iterator[Callable[[Progress], None]]:
    """To be told after every update; what it says last is shown every two seconds, and at the end."""
    page = _Page(folder, get_run_logger())
    finished = threading.Event()

    def show() -> None:
        try:
            while not finished.wait(PERIOD_SECONDS):
                page.update()
            page.update()
        except (httpx.HTTPError, ObjectNotFound) as error:
            page.logger.warning("Progress is no longer shown in the Prefect UI: %s", error)

    # Artifacts are written through the flow run's own context.
    thread = threading.Thread(target=copy_context().run, args=(show,), daemon=True)
    thread.start()
    try:
        yield page.note
    finally:
        finished.set()
        thread.join()


class _Page:
    """A progress artifact, a table of validations and lines of the log. Only `note` is called by the loop."""

    def __init__(self, folder: RunFolder, logger: Logger) -> None:
        self.folder = folder
        self.logger = logger
        self.latest: Progress | None = None
        self.shown: Progress | None = None
        self.progress = Shown("progress", "fit-progress")
        self.table = Shown("table", "validations")
        self.rows: list[Row] = []
        self.bytes_read = 0
        self.logged = -LOG_PERIOD_SECONDS

    def note(self, progress: Progress) -> None:
        """Remember how far the training is."""
        self.latest = progress

    def update(self) -> None:
        """Show what was noted last, and what was validated since. Raises httpx.HTTPError."""
        latest = self.latest
        if latest is not None and latest is not self.shown:
            self.shown = latest
            self._show_progress(latest)
        if latest is not None:
            self._show_validations()

    def _show_progress(self, progress: Progress) -> None:
        said = _sentence(progress)
        self.progress.put(100.0 * progress.step / progress.total_steps, said)
        is_last = progress.step == progress.total_steps
        if is_last or time.monotonic() - self.logged >= LOG_PERIOD_SECONDS:
            self.logged = time.monotonic()
            self.logger.info(said)

    def _show_validations(self) -> None:
        new = self._new_rows()
        if not new:
            return
        self.rows += new
        said = "L1 on held-out starts (its ratio to copying the last frame)"
        self.table.put(json.dumps(self.rows), said)
        self.logger.info("Validated: %s", ", ".join(f"{name} {cell}" for name, cell in new[-1].items()))

    def _new_rows(self) -> list[Row]:
        """Of the validations logged since the last call, and at first of those before a run was resumed."""
        with self.folder.metrics.open("rb") as file:
            file.seek(self.bytes_read)
            complete, newline, _ = file.read().rpartition(b"\n")
        self.bytes_read += len(complete) + len(newline)
        lines = (json.loads(line) for line in complete.splitlines() if b'"validation"' in line)
        return [validation_row(line) for line in lines]


def _sentence(progress: Progress) -> str:
    losses = ", ".join(f"{name} {value:.4f}" for name, value in progress.losses.items())
    return (
        f"Update {progress.step:,} of {progress.total_steps:,} ({progress.phase}): {losses}, "
        f"learning rate {progress.learning_rate:.3g}, {progress.clips_per_second:.0f} clips/s, "
        f"{progress.data_wait_share:.1%} of the time waiting for data"
    )
