"""One update: accumulate the losses of micro-batches, check that they are finite, step the optimiser."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.optimiser import set_learning_rate
from train.ranks import ALONE, Ranks

BatchT = TypeVar("BatchT")
NamedLosses = Callable[[BatchT], Mapping[str, Tensor]]
"""Scalar means over the clips of a micro-batch; 'loss' is the one that is minimised, the rest is logged."""


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient is NaN or infinite; the weights are those before the update."""


@dataclass(frozen=True, kw_only=True)
class UpdateResult:
    """What an update measured before its step, over the batch of all processes: mean losses, and the L2 norm
    of the gradient.
    """

    losses: dict[str, float]
    gradient_norm: float


def update(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    losses_of: NamedLosses[BatchT],
    batches: Iterator[BatchT],
    *,
    micro_batches: int,
    step: int,
    learning_rate: float,
    ranks: Ranks = ALONE,
) -> UpdateResult:
    """Take `micro_batches` batches of equal size and do the update that their union would do as one batch.

    With several processes that union is over all of them; `losses_of` is then what `ranks.synchronised` made.
    step: of the update, counted from 0; for messages. Raises NonFiniteLossError, in all processes alike and
    before anything has changed.
    """
    optimiser.zero_grad(set_to_none=True)
    losses = _accumulate(losses_of, batches, micro_batches, ranks)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    gradient_norm = float(torch.nn.utils.get_total_norm(gradients))
    _ensure_finite({**losses, "gradient_norm": gradient_norm}, step, learning_rate)
    set_learning_rate(optimiser, learning_rate)
    optimiser.step()
    return UpdateResult(losses=losses, gradient_norm=gradient_norm)


def _accumulate(
    losses_of: NamedLosses[BatchT], batches: Iterator[BatchT], micro_batches: int, ranks: Ranks
) -> dict[str, float]:
    sums: defaultdict[str, Tensor | float] = defaultdict(float)
    for number in range(micro_batches):
        is_last = number == micro_batches - 1
        with nullcontext() if is_last else _not_exchanging(losses_of):
            losses = losses_of(next(batches))
            (losses["loss"] / micro_batches).backward()  # type: ignore[no-untyped-call]
        for name, value in losses.items():
            # Summed on the device: reading the number here would make the host wait for every micro-batch.
            sums[name] = sums[name] + value.detach()
    means = ranks.means(torch.stack([torch.as_tensor(total) for total in sums.values()]))
    return {name: mean / micro_batches for name, mean in zip(sums, means, strict=True)}


def _not_exchanging(losses_of: NamedLosses[BatchT]) -> AbstractContextManager[None]:
    """Gradients of a micro-batch stay here: the last one of an update exchanges those of all."""
    return losses_of.no_sync() if isinstance(losses_of, DistributedDataParallel) else nullcontext()


def _ensure_finite(values: Mapping[str, float], step: int, learning_rate: float) -> None:
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if wrong:
        raise NonFiniteLossError(
            f"Update {step} at learning rate {learning_rate:.3g} gives {wrong}; nothing was updated, and the "
            "last checkpoint holds the run before it. Look for bad values with `permafrost verify STORE "
            "--level values`; if there are none, train with a lower lr_peak or more warmup_steps under "
            "another run name."
        )
