"""What `torchrun` says to the processes that it starts, and the group that they form."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from torch import distributed as dist

from train.device import choose_device
from train.ranks import Ranks

COLLECTIVE_TIMEOUT: Final = timedelta(minutes=10)
"""How long a process waits for the others: the first one may write 4 GB to a slow disk meanwhile."""


class LaunchError(ValueError):
    """The processes that were started do not fit the machine."""


class LostProcessError(Exception):
    """Another process of the run is gone, or did not answer in time."""


def is_first_process() -> bool:
    """Whether this process prints: the only one, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def ranks_of_torchrun(device: str | None) -> Iterator[Ranks]:
    """The processes that torchrun started for this run; this one alone where it started no other.

    device: 'cpu', 'cuda', or None to choose; on GPUs every process takes the one of its LOCAL_RANK. A process
    group that the caller has formed is used and left. Raises DeviceError, LaunchError, and LostProcessError
    where another process dies meanwhile.
    """
    told = os.environ
    if int(told.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(device=choose_device(device))
        return
    ranks = Ranks(rank=int(told["RANK"]), size=int(told["WORLD_SIZE"]), device=_own_device(device, told))
    with _group(ranks.device), _naming_lost_processes():
        yield ranks


def _own_device(name: str | None, told: Mapping[str, str]) -> torch.device:
    device, local_rank = choose_device(name), int(told.get("LOCAL_RANK", "0"))
    if device.type != "cuda":
        return device
    if name is not None and ":" in name:
        raise LaunchError(
            f"--device {name} names one GPU for {told['WORLD_SIZE']} processes; with --device cuda each "
            "takes its own."
        )
    if local_rank >= torch.cuda.device_count():
        raise LaunchError(
            f"torchrun started process {local_rank + 1} on a machine with {torch.cuda.device_count()} GPUs. "
            "Start one process for each GPU with --nproc-per-node."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def _group(device: torch.device) -> Iterator[None]:
    if dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        # Objects (errors, recipes) travel between CPUs, tensors between GPUs.
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=COLLECTIVE_TIMEOUT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=COLLECTIVE_TIMEOUT)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _naming_lost_processes() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # gloo has no error class of its own.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise LostProcessError(
            "Another process of this run is gone or hangs, and this one stops too; what the other printed "
            "says why. The same command continues from the last checkpoint."
        ) from error
