"""What is known of the workers of a flow."""

from types import SimpleNamespace

import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from prefect_dask import DaskTaskRunner

from pipeline.workers import count_workers, workers_a_host

WORKERS = {"tcp://10.0.0.1:4001": 1, "tcp://10.0.0.1:4002": 1, "tcp://10.0.0.2:4001": 1}


@pytest.mark.parametrize(("workers", "total", "a_host"), [(WORKERS, 3, 2), ({}, 1, 1)])
def test_workers_are_counted_in_all_and_where_most_share_a_machine(
    monkeypatch: pytest.MonkeyPatch, workers: dict[str, int], total: int, a_host: int
) -> None:
    monkeypatch.setattr(DaskTaskRunner, "client", SimpleNamespace(ncores=lambda: workers))
    runner = DaskTaskRunner()
    assert (count_workers(runner), workers_a_host(runner)) == (total, a_host)


def test_without_a_cluster_there_is_one() -> None:
    assert workers_a_host(ThreadPoolTaskRunner(max_workers=4)) == 1
