"""The optimiser's state from the process that has read the checkpoint to those that have not."""

from typing import Any

import torch
from torch import Tensor

from train.ranks import Ranks


def share_optimiser(optimiser: torch.optim.Optimizer, ranks: Ranks) -> None:
    """Give every process the first one's state, bit for bit and tensor by tensor."""
    if ranks.size == 1:
        return
    first = optimiser.state_dict()
    outline = ranks.from_first({**first, "state": _outline(first["state"])})
    state = first["state"] if ranks.is_first else _allocated(outline["state"], ranks.device)
    for values in state.values():
        for value in values.values():
            if value.ndim > 0:
                ranks.first_to_all(value)
    if not ranks.is_first:
        optimiser.load_state_dict({**outline, "state": state})


def _outline(state: dict[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
    """Numbers as they are, of everything larger the shape and the type alone."""

    def outlined(value: Tensor) -> Tensor:
        return value.cpu() if value.ndim == 0 else torch.empty_like(value, device="meta")

    return {
        index: {name: outlined(value) for name, value in values.items()} for index, values in state.items()
    }


def _allocated(outline: dict[int, dict[str, Any]], device: torch.device) -> dict[int, dict[str, Tensor]]:
    def allocated(value: Tensor) -> Tensor:
        return value if value.ndim == 0 else torch.empty_like(value, device=device)

    return {index: {n: allocated(value) for n, value in values.items()} for index, values in outline.items()}
