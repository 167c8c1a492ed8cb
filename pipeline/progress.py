"""Progress in the Prefect UI: an artifact beside the bar of the terminal."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from pipeline.artifacts import Shown
from pipeline.progress_bar import progress_bar

ARTIFACT_PERIOD_SECONDS: Final = 2.0
logger = logging.getLogger(__name__)


class ArtifactProgress:
    """The same as a progress artifact of the current flow run, updated every two seconds at most.

    Where the server is gone it is updated no more: a picture of the progress is not worth the build.
    """

    def __init__(self, key: str, description: str) -> None:
        self.description = description
        self.artifact = Shown("progress", key)
        self.artifact.put(0.0, description)
        self.updated = time.monotonic()
        self.lost = False

    def __call__(self, done: int, total: int) -> None:
        """Report `done` of `total`."""
        is_early = done < total and time.monotonic() - self.updated < ARTIFACT_PERIOD_SECONDS
        if self.lost or is_early:
            return
        self.updated = time.monotonic()
        try:
            self.artifact.put(100.0 * done / max(total, 1), f"{self.description}: {done:,} of {total:,}")
        except httpx.HTTPError as error:
            self.lost = True
            logger.warning("Progress is no longer shown in the Prefect UI: %s", error)


@contextmanager
def reported_progress(key: str, description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Both at once."""
    artifact = ArtifactProgress(key, description)
    with progress_bar(description, unit) as bar:

        def report(done: int, total: int) -> None:
            bar(done, total)
            artifact(done, total)

        yield report
