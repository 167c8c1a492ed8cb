"""Who encodes: a local Dask cluster sized for this machine, or the cluster at an address."""

import logging
import os
from typing import Any, cast

import torch
from distributed import LocalCluster, get_worker
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect_dask import DaskTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from featurize.encoders import default_device
from featurize.recipe import Build


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


def local_cluster(*, num_workers: int | None = None, **options: Any) -> LocalCluster:
    """Worker processes of one thread each: an encoder each, and bytes that do not depend on their number."""
    return LocalCluster(
        n_workers=num_workers or torch.cuda.device_count() or os.cpu_count(),
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        # Workers that hold a network are slow to go, which is no news to anybody.
        silence_logs=logging.ERROR,
        **options,
    )


def on_this_worker(build: Build) -> Build:
    """The build with this worker's own GPU, where the user named no device."""
    if build.device is not None or torch.cuda.device_count() < 2:
        return build.model_copy(update={"device": build.device or default_device()})
    name = get_worker().name
    number = name if isinstance(name, int) else os.getpid()
    return build.model_copy(update={"device": f"cuda:{number % torch.cuda.device_count()}"})
