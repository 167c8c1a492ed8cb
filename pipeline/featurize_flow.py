"""Stage one as Prefect flows: every step a flow of its own, and one that calls them in order.

Nothing here decides what is left to do: the steps look at the store. Kill any of these flows at any moment
and call it again; it does only what is missing. In Prefect's database a killed run stays "Running" for ever.
"""

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

import pipeline.prefect_server  # noqa: F401 - sets what prefect reads at its import

# isort: split
from prefect import flow, get_run_logger, task, unmapped
from prefect.futures import PrefectFuture
from prefect.runtime import task_run
from prefect.task_runners import TaskRunner

from featurize.calibrate import calibrate
from featurize.encode import await_free_slots, encode_unclaimed, free_slots, pending_slots
from featurize.encoders import default_device, encoder_of
from featurize.errors import TooManyRejectsError
from featurize.finalise import FinaliseReport, finalise
from featurize.holding import holding_store
from featurize.index import IndexReport, Progress, index, indexed
from featurize.plan import PlanReport, plan
from featurize.recipe import Build
from featurize.repair import RepairReport, repair
from pipeline.artifacts import show_markdown, show_table
from pipeline.batches import slots_per_task, wait_for_batches, worth_retrying
from pipeline.errors import SlotsFailedError
from pipeline.progress import reported_progress
from pipeline.workers import LOCAL_WORKERS, Workers, count_workers, on_this_worker, workers_a_host
from store_schema.ledger import settled_slots

POLL_SECONDS: Final = 0.5


@flow(name="index", flow_run_name="index {build.store.name}")
def index_flow(build: Build, new_only: bool = False) -> IndexReport:
    """Look at every episode; list the usable ones, and the rejected ones with the reason.

    Of a finished store, look at the new ones and, unless `new_only`, at those that were rejected before.
    """
    with reported_progress("index-progress", "index", "episodes") as progress:
        try:
            report = index(build, progress, new_only=new_only)
        except TooManyRejectsError as error:
            show_markdown("rejects", str(error), "Why the build stopped")
            raise
    get_run_logger().info(str(report))
    rows = [{"reason": reason, "episodes": str(count)} for reason, count in report.rejects.items()]
    show_table("rejects", rows, str(report))
    return report


@flow(name="plan", flow_run_name="plan {build.store.name}")
def plan_flow(build: Build) -> PlanReport:
    """Draw trajectories, crops, phases, slots and splits; create the store, or check that it is the same."""
    report = plan(build, encoder_of(build))
    get_run_logger().info("%s", report)
    return report


@flow(name="calibrate", flow_run_name="calibrate {build.store.name}")
def calibrate_flow(build: Build) -> None:
    """Fix the channel statistics that int8 latents are standardised by."""
    calibrate(build, encoder_of(build))


def _batch_name() -> str:
    slots = task_run.parameters["slots"]
    return f"encode slots {slots[0]}-{slots[-1]}"


@task(
    name="encode slots",
    task_run_name=_batch_name,
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=worth_retrying,
)
def encode_batch(build: Build, slots: Sequence[int], workers: int = 1) -> int:
    """Encode those of `slots` that the ledger lacks and nobody is at work on; returns how many that were.

    workers: how many share this machine.
    """
    build = on_this_worker(build)
    return encode_unclaimed(build, encoder_of(build), slots, workers=workers)


@flow(name="encode", flow_run_name="encode {build.store.name}")
@holding_store
def encode_flow(build: Build, slots: Sequence[int] | None = None, workers: Workers = LOCAL_WORKERS) -> int:
    """Encode `slots`, or all, over the workers, but for those in the ledger. Returns how many it encoded.

    Slots that another process has claimed by `join` are waited for, and encoded here if it dies.
    """
    return _encode_rounds(build, workers, lambda: await_free_slots(build, slots))


@flow(name="join", flow_run_name="join {build.store.name}")
def join_flow(build: Build, workers: Workers = LOCAL_WORKERS) -> int:
    """Encode slots of a store that another process builds, the last ones first. Returns how many it encoded.

    Ends when no slot is free; the other process finalises the store.
    """
    return _encode_rounds(build, workers, lambda: free_slots(build)[::-1])


@flow(name="finalise", flow_run_name="finalise {build.store.name}")
def finalise_flow(build: Build) -> FinaliseReport:
    """Compute the statistics of the training split and seal the store."""
    report = finalise(build)
    show_table("featurize-result", [_result_row(build, report)], "What was stored")
    return report


@flow(name="repair", flow_run_name="repair {build.store.name}")
def repair_flow(build: Build) -> RepairReport:
    """Encode again the slots that `verify` finds damaged, here and one after the other, and no others."""
    with reported_progress("repair-progress", "repair", "slots") as progress:
        report = repair(build, encoder_of(build), progress)
    get_run_logger().info("%s", report)
    return report


@flow(name="featurize", flow_run_name="featurize {build.store.name}")
@holding_store
def featurize_flow(build: Build, workers: Workers) -> FinaliseReport:
    """All steps in order. An index that an earlier call left is used; `index_flow` alone looks again.

    Episodes that the source lists beyond those of a finished store are appended to it.
    """
    if indexed(build) is None:
        index_flow(build, new_only=True)
    plan_flow(build)
    calibrate_flow(build)
    if pending_slots(build):  # or workers would be started for nothing
        encode_flow(build, workers=workers)
    return finalise_flow(build)


def _encode_rounds(build: Build, workers: Workers, free: Callable[[], list[int]]) -> int:
    """Hand out what is free until nothing is; returns how many slots were encoded."""
    with workers.task_runner() as runner:
        return sum(_encode_round(build, runner, slots) for slots in iter(free, []))


def _encode_round(build: Build, runner: TaskRunner[PrefectFuture[Any]], free: Sequence[int]) -> int:
    """Hand slots to the workers, once each; returns how many they encoded."""
    get_run_logger().info("%d slots to encode", len(free))
    size = slots_per_task(len(free), count_workers(runner), build.device or default_device())
    batches = [list(free[i : i + size]) for i in range(0, len(free), size)]
    # Any: prefect declares tasks that are not async, and runs them, but forgets them in this signature.
    task: Any = encode_batch
    asked = {"build": unmapped(build), "slots": batches, "workers": unmapped(workers_a_host(runner))}
    futures = runner.map(task, asked)
    with reported_progress("encode-progress", "encode", "slots") as progress:
        causes = _wait(futures, build.store, free, progress)
    _require_done(causes, build.store, free)
    counts: list[Any] = [future.result() for future in futures if future.state.is_completed()]
    return sum(counts)


def _wait(
    futures: Sequence[PrefectFuture[Any]], store: Path, pending: Sequence[int], progress: Progress
) -> list[str]:
    """Wait for the tasks, while a thread counts slots where the truth is, in the ledger; why some failed."""
    finished = threading.Event()

    def count() -> None:
        while True:
            is_last = finished.wait(POLL_SECONDS)
            progress(len(settled_slots(store).intersection(pending)), len(pending))
            if is_last:
                return

    # The artifact is written through the flow run's own context.
    counter = threading.Thread(target=copy_context().run, args=(count,), daemon=True)
    counter.start()
    try:
        return wait_for_batches(futures)
    finally:
        finished.set()
        counter.join()


def _require_done(causes: Sequence[str], store: Path, pending: Sequence[int]) -> None:
    """Raise SlotsFailedError where tasks failed; without a failure, what is missing is in other hands."""
    missing = sorted(set(pending) - settled_slots(store)) if causes else []
    if not missing:
        return
    raise SlotsFailedError(
        f"{len(missing)} of {len(pending)} slots failed: {', '.join(map(str, missing[:20]))}. "
        f"Causes: {'; '.join(causes)}. Run the same command again to retry only these."
    )


def _result_row(build: Build, report: FinaliseReport) -> dict[str, str]:
    return {
        "store": build.store.name,
        "episodes": f"{report.num_episodes:,}",
        "trajectories": f"{report.num_trajectories:,}",
        "frames": f"{report.num_frames:,}",
        "bytes a frame": f"{report.frame_bytes:,}",
        "rejected": f"{sum(report.rejects.values()):,}",
    }
