"""Matrix products of a predictor that is not being trained, by the faster kernel of a CPU.

PyTorch hands float32 products on a CPU to MKL, which on processors of another maker than its own reaches half
of what oneDNN does (an AMD EPYC, one core: 103 GFLOP/s against 237; both come with PyTorch). Its bias and its
sums are float32 as well; results differ by rounding alone.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from train.predictor import Predictor


def with_fast_products(predictor: Predictor, device: torch.device) -> Predictor:
    """A predictor on the very same weights for use without gradients; itself where no kernel is faster.

    Weights that are trained on are seen by both.
    """
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return predictor
    shared = {id(tensor): tensor for tensor in (*predictor.parameters(), *predictor.buffers())}
    twin = copy.deepcopy(predictor, shared)
    for module in list(twin.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, _OneDnnLinear(child))
    return twin


class _OneDnnLinear(nn.Module):
    """`nn.Linear`, without gradients and in float32; of anything else the usual one takes care."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps the last dimension."""
        if torch.is_grad_enabled() or inputs.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return nn.functional.linear(inputs, self.weight, self.bias)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs.contiguous(), self.weight, self.bias, "none", [], ""
        )
        return product
