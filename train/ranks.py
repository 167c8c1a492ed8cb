"""The processes that train one run together, each on its own device, and what they tell each other.

torch calls the number of a process its rank. Every process makes the same calls in the same order, and each
call returns when all have made it; with one process nothing is sent.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch._dynamo import config as dynamo_config
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


class OtherProcessError(Exception):
    """Another process of the run has failed, and this one stops with it; the message is the other's."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those of its run. `rank` 0 alone writes files and prints."""

    rank: int = 0
    size: int = 1
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process keeps the run's folder."""
        return self.rank == 0

    def synchronised(self, module: nn.Module) -> nn.Module:
        """The module with the first process's weights; its gradients become the mean over all processes.

        Gradients are exchanged in float32 while the backward pass still runs.
        """
        if self.size == 1:
            return module
        # Left on, dynamo would cut whatever is compiled inside at the borders of the buckets.
        dynamo_config.optimize_ddp = False
        with warnings.catch_warnings():
            # Its new name is unknown to the oldest torch that we support.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return DistributedDataParallel(module, gradient_as_bucket_view=True, broadcast_buffers=False)

    def means(self, values_N: Tensor) -> list[float]:
        """The mean of each value over all processes, the same bits on every one."""
        if self.size > 1:
            values_N = values_N.double()
            dist.all_reduce(values_N)
            values_N = values_N / self.size
        return cast(list[float], values_N.tolist())

    def add_up(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def maximum(self, value: float) -> float:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        largest = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.item()

    def first_to_all(self, tensor: Tensor) -> None:
        """Overwrite the tensor with the first process's, in place."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)

    def from_first(self, value: T) -> T:
        """What the first process gives here; small, and something that can be pickled."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def on_first(self, act: Callable[[], T]) -> T:
        """What `act` returns in the first process, which alone calls it; raises as `together` does."""
        with self.together():
            value = act() if self.is_first else None
        return cast(T, self.from_first(value))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Leave the block in every process, or raise in every one; nothing may be exchanged inside.

        A process that fails raises its own error, the others raise OtherProcessError with its message.
        """
        try:
            yield
        except Exception as error:
            self._gather(str(error))
            raise
        failures = [message for message in self._gather(None) if message is not None]
        if failures:
            raise OtherProcessError(failures[0])

    def _gather(self, message: str | None) -> list[str | None]:
        if self.size == 1:
            return []
        messages: list[str | None] = [None] * self.size
        dist.all_gather_object(messages, message)
        return messages


ALONE = Ranks(device=torch.device("cpu"))
"""One process on a CPU: the default where many processes are nobody's concern."""
