"""The batches of `encode`: which are tried again, when the rest is not worth waiting for, and what failed."""

from collections.abc import Sequence
from typing import Any, Final

from distributed.scheduler import KilledWorker, NoWorkerError
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed

from featurize.errors import FeaturizeError
from pipeline.prefect_server import server_lost
from pipeline.sentences import ADVICE, sentence
from store_schema.errors import StoreError

SLOTS_PER_TASK: Final = 8
MAX_SLOTS_PER_TASK: Final = 256
TASKS_PER_WORKER: Final = 4
"""So few that the last ones to finish keep the others waiting for a fraction of the build alone."""


def slots_per_task(num_slots: int, num_workers: int, device: str) -> int:
    """How many slots a worker is handed at once.

    A GPU waits for the first slot of a task to be decoded and for its last to be written, which 8 slots would
    not be worth: 0.45 s against 0.28 s of an H200 (`tests/benchmarks/cluster_model.py`). A CPU does not
    notice, and small tasks lose less when a worker dies.
    """
    if not device.startswith("cuda"):
        return SLOTS_PER_TASK
    return min(max(num_slots // (TASKS_PER_WORKER * num_workers), SLOTS_PER_TASK), MAX_SLOTS_PER_TASK)


def worth_retrying(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a second try may go better: not on a full disk, nor where we know what is wrong."""
    return not _stops_the_build(state.data)


def wait_for_batches(futures: Sequence[PrefectFuture[Any]]) -> list[str]:
    """Wait for all batches, or until one failed as the others would too; why batches failed, each cause once.

    A full or read-only disk, a source that is gone and a Prefect server that is gone are such failures; an
    episode that kills its worker is not.
    """
    causes: dict[str, None] = {}
    for future in as_completed(list(futures)):
        error = _failure_of(future)
        if error is None:
            continue
        lost = server_lost()
        causes[lost or _cause(error)] = None
        if lost or _stops_the_build(error):
            break
    return list(causes)


def _stops_the_build(error: object) -> bool:
    if isinstance(error, OSError):
        return error.errno in ADVICE
    return isinstance(error, (FeaturizeError, StoreError))


def _failure_of(future: PrefectFuture[Any]) -> BaseException | None:
    try:
        outcome = future.result(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - anything that a worker, or its death, may leave behind
        return error
    return outcome if isinstance(outcome, BaseException) else None


def _cause(error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        tries = error.allowed_failures + 1
        return f"the worker process died, at {tries} of {tries} tries: killed, or out of memory"
    if isinstance(error, NoWorkerError):
        return f"no worker process was left, for {error.timeout:g} s"
    return sentence(error)
