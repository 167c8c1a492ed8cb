"""AdamW as published, and the one way its learning rate is set."""

from __future__ import annotations

import torch
from torch import nn

_FUSED_ON = ("cpu", "cuda")


def build_adamw(model: nn.Module, weight_decay: float = 0.04) -> torch.optim.AdamW:
    """AdamW over what is trainable: betas 0.9 and 0.999, eps 1e-8, decay on weight matrices alone.

    Biases and one-dimensional parameters (norms) are not decayed, as upstream (`init_opt` in
    `app/vjepa_droid/utils.py`). The learning rate starts at zero: nothing moves until `set_learning_rate`.
    One fused kernel steps all parameters where the device has one.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    decayed = [parameter for name, parameter in trainable.items() if _is_decayed(name, parameter)]
    kept = [parameter for name, parameter in trainable.items() if not _is_decayed(name, parameter)]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    fused = all(parameter.device.type in _FUSED_ON for parameter in trainable.values())
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=fused)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate


def _is_decayed(name: str, parameter: torch.Tensor) -> bool:
    return parameter.ndim > 1 and "bias" not in name
