"""Numbers that do not depend on how many workers share a machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable_threads(device: torch.device) -> Iterator[None]:
    """Encode on one thread where the CPU encodes: matrix products may round differently on two.

    A CPU is filled by several worker processes instead, and the bytes of a slot stay the same however many.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
