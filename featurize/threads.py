"""Numbers that do not depend on how many workers share a machine, and the decodes of a worker at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

CPU_DECODERS: Final = 2
MAX_DECODERS: Final = 24
"""Twice what feeds an H200. A worker that sees one GPU of many would take all cores for its own."""
GPU_WRITERS: Final = 4


@contextmanager
def one_thread() -> Iterator[None]:
    """Let every operation of torch on the CPU take one thread, in this thread and in those begun inside.

    The stages of `encode` are threads of their own, which would wait for each other if each took all cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable_threads(device: torch.device) -> Iterator[None]:
    """Encode on one thread where the CPU encodes: matrix products may round differently on two.

    A CPU is filled by several worker processes instead, and the bytes of a slot stay the same however many.
    """
    if device.type != "cpu":
        yield
        return
    with one_thread():
        yield


def most_decoders(device: torch.device, workers: int = 1) -> int:
    """How many slots one of `workers` on this machine may decode at once.

    Beside a GPU: its share of the cores. Beside a CPU that encodes two, so that a worker with a small encoder
    is not bound by one core; but one where workers fill the cores, since more would only take turns.
    """
    if device.type != "cuda":
        return min(CPU_DECODERS, max(1, num_cores() // workers))
    return min(max(1, num_cores() // max(1, torch.cuda.device_count())), MAX_DECODERS)


def most_writers(device: torch.device) -> int:
    """How many slots one worker may write at once: beside a GPU several, for a write is mostly waiting."""
    return GPU_WRITERS if device.type == "cuda" else 1


def num_cores() -> int:
    """Cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
