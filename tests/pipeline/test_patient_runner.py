"""A server that does not answer is asked again, where Prefect's own runner gives up and kills its runs."""

import asyncio
import signal
import subprocess
import sys

import httpx
import pytest
from prefect.runner import Runner

from pipeline.patient_runner import ENGINE, PatientRunner, stopping_runs_first

SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print('ready', flush=True)
time.sleep(60)
"""


async def ask_a_server_that_is_gone(runner):
    async def gone(**_):
        raise httpx.ConnectError("All connection attempts failed")

    async with runner:
        poller = runner._scheduled_run_poller
        poller._client.get_scheduled_flow_runs_for_deployments = gone
        await poller._get_and_submit_flow_runs()


@pytest.mark.usefixtures("prefect_api")
def test_a_server_that_is_gone_does_not_end_the_runner():
    asyncio.run(ask_a_server_that_is_gone(PatientRunner()))


@pytest.mark.usefixtures("prefect_api")
def test_it_would_end_prefects_own():
    with pytest.raises(ExceptionGroup):
        asyncio.run(ask_a_server_that_is_gone(Runner()))


def test_ctrl_c_asks_the_runs_to_stop_and_waits_until_they_have():
    with subprocess.Popen([sys.executable, "-c", SAVES, ENGINE], stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"ready\n"
        with stopping_runs_first():
            signal.raise_signal(signal.SIGINT)
            pytest.fail("went on")
        assert run.wait(timeout=10) == 7
