"""Stage one as Prefect flows: every step a flow of its own, and one that calls them in order.

Nothing here decides what is left to do: the steps look at the store. Kill any of these flows at any moment
and call it again; it does only what is missing. In Prefect's database a killed run stays "Running" for ever.
"""

import threading
from collections.abc import Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Final

import pipeline.prefect_server  # noqa: F401 - sets what prefect reads at its import

# isort: split
from prefect import flow, get_run_logger, task, unmapped
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.runtime import task_run

from featurize.calibrate import calibrate
from featurize.encode import encode, pending_slots
from featurize.encoders import encoder_of
from featurize.errors import TooManyRejectsError
from featurize.finalise import FinaliseReport, finalise
from featurize.index import IndexReport, Progress, index, indexed
from featurize.plan import PlanReport, plan
from featurize.recipe import Build
from pipeline.errors import SlotsFailedError
from pipeline.progress import reported_progress
from pipeline.workers import Workers, on_this_worker
from store_schema.ledger import settled_slots

SLOTS_PER_TASK: Final = 8
POLL_SECONDS: Final = 0.5


@flow(name="index", flow_run_name="index {build.store.name}")
def index_flow(build: Build) -> IndexReport:
    """Look at every episode; list the usable ones, and the rejected ones with the reason."""
    with reported_progress("index-progress", "index", "episodes") as progress:
        try:
            report = index(build, progress)
        except TooManyRejectsError as error:
            create_markdown_artifact(str(error), key="rejects", description="Why the build stopped")
            raise
    get_run_logger().info(str(report))
    rows = [{"reason": reason, "episodes": count} for reason, count in report.rejects.items()]
    create_table_artifact(rows, key="rejects", description=str(report))
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


@task(name="encode slots", task_run_name=_batch_name, retries=2, retry_delay_seconds=5)
def encode_batch(build: Build, slots: Sequence[int]) -> int:
    """Encode those of `slots` that the ledger lacks; returns how many that were."""
    build = on_this_worker(build)
    return encode(build, encoder_of(build), slots)


@flow(name="encode", flow_run_name="encode {build.store.name}", task_runner=Workers().task_runner())
def encode_flow(build: Build, slots: Sequence[int] | None = None) -> int:
    """Encode `slots`, or all, over the workers, but for those in the ledger. Returns how many it encoded."""
    pending = pending_slots(build, slots)
    get_run_logger().info("%d slots to encode", len(pending))
    if not pending:
        return 0
    futures = encode_batch.map(unmapped(build), _batches(pending))
    with reported_progress("encode-progress", "encode", "slots") as progress:
        _wait(futures, build.store, pending, progress)
    _require_settled(futures, build.store, pending)
    return len(pending)


@flow(name="finalise", flow_run_name="finalise {build.store.name}")
def finalise_flow(build: Build) -> FinaliseReport:
    """Compute the statistics of the training split and seal the store."""
    report = finalise(build)
    create_table_artifact([_result_row(build, report)], key="featurize-result", description="What was stored")
    return report


@flow(name="featurize", flow_run_name="featurize {build.store.name}")
def featurize_flow(build: Build, workers: Workers) -> FinaliseReport:
    """All steps in order. An index that an earlier call left is used; `index_flow` alone looks again."""
    if indexed(build) is None:
        index_flow(build)
    plan_flow(build)
    calibrate_flow(build)
    if pending_slots(build):  # or workers would be started for nothing
        encode_flow.with_options(task_runner=workers.task_runner())(build)
    return finalise_flow(build)


def _batches(slots: Sequence[int]) -> list[list[int]]:
    return [list(slots[i : i + SLOTS_PER_TASK]) for i in range(0, len(slots), SLOTS_PER_TASK)]


def _wait(
    futures: Sequence[PrefectFuture[int]], store: Path, pending: Sequence[int], progress: Progress
) -> None:
    """Wait for the tasks, while a thread counts slots where the truth is, in the ledger."""
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
        wait(list(futures))
    finally:
        finished.set()
        counter.join()


def _require_settled(futures: Sequence[PrefectFuture[int]], store: Path, pending: Sequence[int]) -> None:
    missing = sorted(set(pending) - settled_slots(store))
    if not missing:
        return
    causes = {str(f.state.message or f.state.name) for f in futures if not f.state.is_completed()}
    raise SlotsFailedError(
        f"{len(missing)} of {len(pending)} slots failed: {', '.join(map(str, missing[:20]))}. "
        f"Causes: {'; '.join(sorted(causes))}. Run the same command again to retry only these."
    )


def _result_row(build: Build, report: FinaliseReport) -> dict[str, object]:
    return {
        "store": build.store.name,
        "episodes": report.num_episodes,
        "trajectories": report.num_trajectories,
        "frames": report.num_frames,
        "bytes a frame": report.frame_bytes,
        "rejected": sum(report.rejects.values()),
    }
