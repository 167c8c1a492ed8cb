"""What torchrun tells a process, without torchrun; how real processes get on is in test_distributed.py."""

import pytest
import torch

from train.launch import LaunchError, is_first_process, ranks_of_torchrun


@pytest.fixture
def sixth_of_eight(monkeypatch):
    """The environment of one of eight processes on a machine with four GPUs."""
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "5"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.mark.usefixtures("sixth_of_eight")
def test_more_processes_than_gpus_are_refused():
    with (
        pytest.raises(LaunchError, match=r"process 6 on a machine with 4 GPUs.*--nproc-per-node"),
        ranks_of_torchrun(None),
    ):
        pass


@pytest.mark.usefixtures("sixth_of_eight")
def test_one_gpu_for_all_processes_is_refused():
    with (
        pytest.raises(LaunchError, match="--device cuda:1 names one GPU for 8 processes"),
        ranks_of_torchrun("cuda:1"),
    ):
        pass


@pytest.mark.usefixtures("sixth_of_eight")
def test_one_process_prints():
    assert not is_first_process()


def test_a_process_alone_forms_no_group(monkeypatch):
    """As after `torchrun --nproc-per-node 1`, or without torchrun."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with ranks_of_torchrun("cpu") as ranks:
        assert (ranks.rank, ranks.size, ranks.device.type) == (0, 1, "cpu")
        assert not torch.distributed.is_initialized()
    assert is_first_process()
