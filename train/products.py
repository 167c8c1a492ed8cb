"""Matrix products of a predictor that is not being trained, by the faster kernel of a CPU.

PyTorch hands float32 products on a CPU to MKL, which on processors of another maker than its own reaches half
of what oneDNN does (an AMD EPYC, one core: 103 GFLOP/s against 237; both come with PyTorch). Sums are float32
as well; results differ by rounding alone.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from train.predictor import Predictor


def with_fast_products(predictor: Predictor, device: torch.device) -> Predictor:
    """A predictor on the very same weights for use without gradients; itself where no kernel is faster.

    Weights that are trained on are seen by both.
    """
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return predictor
    shared = {id(tensor): tensor for tensor in (*predictor.parameters(), *predictor.buffers())}
    twin = copy.deepcopy(predictor, shared)
    for block in twin.predictor_blocks:
        mlp = block.get_submodule("mlp")
        mlp.fc1, mlp.act = _OneDnnLinear(mlp.get_submodule("fc1"), "gelu"), nn.Identity()
    for module in list(twin.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, _OneDnnLinear(child, "none"))
    return twin


class _OneDnnLinear(nn.Module):
    """`nn.Linear` and what follows it, in float32; under autocast and with gradients as PyTorch does it."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, linear: nn.Module, then: Literal["none", "gelu"]) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        self.weight, self.bias, self.then = linear.weight, linear.bias, then

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps the last dimension."""
        if torch.is_grad_enabled() or inputs.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            product = F.linear(inputs, self.weight, self.bias)
            return F.gelu(product) if self.then == "gelu" else product
        # For gelu, "none" is the exact one.
        mapped: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs.contiguous(), self.weight, self.bias, self.then, [], "none"
        )
        return mapped
