"""Who encodes: a local Dask cluster sized for this machine, or the cluster at an address."""

import logging
import os
from collections import Counter
from typing import Any, Final, cast
from urllib.parse import urlsplit

import dask
import torch
from distributed import LocalCluster, get_worker
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from featurize.encoders import default_device
from featurize.recipe import Build

NO_WORKERS_TIMEOUT: Final = "distributed.scheduler.no-workers-timeout"
NO_WORKERS_SECONDS: Final = 120


class Workers(BaseModel):
    """Where the tasks of `encode` run.

    num_workers: processes of a local cluster; None means one per GPU, or one per core without a GPU.
    dask_address: scheduler of a running cluster whose workers see the same source and store.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_workers: int | None = Field(default=None, ge=1)
    dask_address: str | None = None

    def task_runner(self) -> TaskRunner[PrefectFuture[Any]]:
        """A task runner on these workers."""
        if self.dask_address is not None:
            runner = DaskTaskRunner(address=self.dask_address)
        else:
            options = {"num_workers": self.num_workers}
            runner = DaskTaskRunner(cluster_class=local_cluster, cluster_kwargs=options)
        return cast(TaskRunner[PrefectFuture[Any]], runner)


LOCAL_WORKERS: Final = Workers()
"""As many as this machine takes."""


def local_cluster(*, num_workers: int | None = None, **options: Any) -> LocalCluster:
    """Worker processes of one thread each: an encoder each, and bytes that do not depend on their number."""
    # They read source files in child processes, which daemons may not have. No `with`: a worker that died is
    # started anew with what is set then.
    dask.config.set({"distributed.worker.daemon": False})
    # A worker that dies while it starts is not started again, and its tasks would wait for ever.
    dask.config.set({NO_WORKERS_TIMEOUT: dask.config.get(NO_WORKERS_TIMEOUT) or NO_WORKERS_SECONDS})
    return LocalCluster(
        n_workers=num_workers or torch.cuda.device_count() or os.cpu_count(),
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        # The scheduler's own HTTP port: two builds on one machine would warn that the default one is taken.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        # Slots that failed are told once, with their causes; workers that are slow to go are no news.
        silence_logs=logging.CRITICAL,
        **options,
    )


def count_workers(runner: TaskRunner[PrefectFuture[Any]]) -> int:
    """Worker processes that a running task runner has now; 1 where it has no cluster."""
    return max(len(runner.client.ncores()), 1) if isinstance(runner, DaskTaskRunner) else 1


def workers_a_host(runner: TaskRunner[PrefectFuture[Any]]) -> int:
    """How many of them share a machine, where most do; 1 without a cluster."""
    if not isinstance(runner, DaskTaskRunner):
        return 1
    hosts = Counter(urlsplit(address).hostname for address in runner.client.ncores())
    return max(hosts.values(), default=1)


def on_this_worker(build: Build) -> Build:
    """The build with this worker's own GPU, where the user named no device."""
    if build.device is not None or torch.cuda.device_count() < 2:
        return build.model_copy(update={"device": build.device or default_device()})
    name = get_worker().name
    number = name if isinstance(name, int) else os.getpid()
    return build.model_copy(update={"device": f"cuda:{number % torch.cuda.device_count()}"})
