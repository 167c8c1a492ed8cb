"""Runs of `encode` that are timed stage by stage, for the benchmarks beside this file."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from featurize.calibrate import calibrate
from featurize.encode import encode_unclaimed, pending_slots
from featurize.encoder.registry import FrozenEncoder
from featurize.index import index
from featurize.plan import plan
from featurize.planned import open_calibrated
from featurize.rates import random_encoder
from featurize.recipe import Build, FeaturizeRecipe
from featurize.slot_job import SlotJob
from featurize.threads import one_thread
from store_schema.integrity import digest

STAGES = ("decode", "encode", "quantise", "write")
SLOTS_PER_TASK = 8

encoder_of = cache(random_encoder)


@dataclass(kw_only=True)
class Run:
    """What one run took. spans: (start, end) of every call of a stage, by the system's monotonic clock.

    device_seconds: time the GPU spent on what `encode` queued; 0 without one.
    """

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    device_seconds: float = 0.0
    num_frames: int = 0
    spans: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {s: [] for s in STAGES})

    def busy_seconds(self, stage: str) -> float:
        """Sum over the calls of a stage."""
        return sum(end - start for start, end in self.spans[stage])

    @property
    def encoder_busy_share(self) -> float:
        """Share of the wall time in which at least one encoder was at work."""
        covered, last = 0.0, 0.0
        for start, end in sorted(self.spans["encode"]):
            covered += max(0.0, end - max(start, last))
            last = max(last, end)
        return (self.device_seconds or covered) / self.wall_seconds


def planned_build(folder: Path, source: Path, encoder_name: str, device: str, num_views: int) -> Build:
    """A store that is ready to be encoded, by an encoder with drawn weights."""
    recipe = FeaturizeRecipe(encoder=encoder_name, num_views=num_views)
    build = Build(recipe=recipe, store=folder / "planned.zarr", source_root=source, device=device)
    encoder = encoder_of(encoder_name, device)
    index(build)
    plan(build, encoder)
    calibrate(build, encoder)
    return build


def sequential(build: Build, encoder: FrozenEncoder, slots: Sequence[int]) -> None:
    """One stage after the other, as no build should."""
    job = SlotJob(build, encoder, open_calibrated(build), slots)
    with one_thread(), job.loader:
        for slot in slots:
            job.write(job.quantise(job.encode(job.decode(slot))))


def work(build: Build, slots: Sequence[int], overlapped: bool, workers: int = 1) -> Run:
    """What one of `workers` does of a task."""
    assert build.device is not None
    encoder, run = encoder_of(build.recipe.encoder, build.device), Run()
    with timed_stages(run), timed_device(run, encoder):
        if overlapped:
            encode_unclaimed(build, encoder, slots, workers=workers)
        else:
            sequential(build, encoder, slots)
    return run


def measure(
    planned: Build, store: Path, overlapped: bool, pool: Executor | None, workers: int
) -> tuple[Run, str]:
    """Encode all slots into a new copy of the planned store; what it took, and the digest of it."""
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(planned.store, store)
    build = planned.model_copy(update={"store": store})
    slots = pending_slots(build)
    cpu_before, started = cpu_seconds(), time.monotonic()
    if pool is None:
        run = work(build, slots, overlapped)
    else:
        run = Run()
        tasks = [slots[i : i + SLOTS_PER_TASK] for i in range(0, len(slots), SLOTS_PER_TASK)]
        for part in [pool.submit(work, build, task, overlapped, workers) for task in tasks]:
            done = part.result()
            run.device_seconds += done.device_seconds
            for stage, spans in done.spans.items():
                run.spans[stage].extend(spans)
    run.wall_seconds = time.monotonic() - started
    run.cpu_seconds = cpu_seconds() - cpu_before
    run.num_frames = sum(open_calibrated(build).ledger.written_frames.values())
    return run, digest(store)


@contextmanager
def timed_stages(run: Run) -> Iterator[None]:
    """Let `run` note every call of a stage in this process."""
    plain = {stage: getattr(SlotJob, stage) for stage in STAGES}

    def noting(stage: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.monotonic()
            try:
                return plain[stage](*arguments)
            finally:
                run.spans[stage].append((started, time.monotonic()))

        return call

    for stage in STAGES:
        setattr(SlotJob, stage, noting(stage))
    try:
        yield
    finally:
        for stage in STAGES:
            setattr(SlotJob, stage, plain[stage])


@contextmanager
def timed_device(run: Run, encoder: FrozenEncoder) -> Iterator[None]:
    """Let `run` note how long a GPU is at work on what `encode` queues, by events around each call."""
    if encoder.device.type != "cuda":
        yield
        return
    events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
    plain = encoder.encode

    def noting(frames: torch.Tensor) -> torch.Tensor:
        pair = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
        events.append(pair)
        pair[0].record()
        latents = plain(frames)
        pair[1].record()
        return latents

    encoder.encode = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        del encoder.encode
    torch.cuda.synchronize(encoder.device)
    run.device_seconds = sum(start.elapsed_time(end) for start, end in events) / 1000


def cpu_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in processes)
