"""One update: accumulate the losses of micro-batches, check that they are finite, step the optimiser."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from train.optimiser import set_learning_rate

BatchT = TypeVar("BatchT")
NamedLosses = Callable[[BatchT], Mapping[str, Tensor]]
"""Scalar means over the clips of a micro-batch; 'loss' is the one that is minimised, the rest is logged."""


class NonFiniteLossError(ArithmeticError):
    """The loss or its gradient is NaN or infinite; the weights are those before the update."""


@dataclass(frozen=True, kw_only=True)
class UpdateResult:
    """What an update measured before its step: mean losses over the batch, and the gradient's L2 norm."""

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
) -> UpdateResult:
    """Take `micro_batches` batches of equal size and do the update that their union would do as one batch.

    step: of the update, counted from 0; for messages. Raises NonFiniteLossError before anything has changed.
    """
    optimiser.zero_grad(set_to_none=True)
    losses = _accumulate(losses_of, batches, micro_batches)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    gradient_norm = float(torch.nn.utils.get_total_norm(gradients))
    _ensure_finite({**losses, "gradient_norm": gradient_norm}, step, learning_rate)
    set_learning_rate(optimiser, learning_rate)
    optimiser.step()
    return UpdateResult(losses=losses, gradient_norm=gradient_norm)


def _accumulate(
    losses_of: NamedLosses[BatchT], batches: Iterator[BatchT], micro_batches: int
) -> dict[str, float]:
    sums: defaultdict[str, Tensor | float] = defaultdict(float)
    for _ in range(micro_batches):
        losses = losses_of(next(batches))
        (losses["loss"] / micro_batches).backward()  # type: ignore[no-untyped-call]
        for name, value in losses.items():
            # Summed on the device: reading the number here would make the host wait for every micro-batch.
            sums[name] = sums[name] + value.detach()
    return {name: float(total) / micro_batches for name, total in sums.items()}


def _ensure_finite(values: Mapping[str, float], step: int, learning_rate: float) -> None:
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if wrong:
        raise NonFiniteLossError(
            f"Update {step} at learning rate {learning_rate:.3g} gives {wrong}; nothing was updated, and the "
            "last checkpoint holds the run before it. Look for bad values with `permafrost verify STORE "
            "--level values`; if there are none, train with a lower lr_peak or more warmup_steps under "
            "another run name."
        )
