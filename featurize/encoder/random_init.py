"""Weights drawn from a seed, the same to the last bit on every machine."""

import torch
from torch import nn

_BIAS_STD = 0.5
_UNIFORM_STD = 3**-0.5


def random_weights(vit: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Tensors for every parameter of `vit` (which may live on the meta device), float32.

    Matrices keep the variance of what they are given (1 / fan-in); the maps that write into the residual
    stream are smaller by sqrt(2 depth), as in the published initialisation; norms start at one and zero.
    Biases are large on purpose: layer norm forgets how strong a token is, and only against a bias can it be
    seen how bright a patch was.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    state = vit.state_dict()
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    return {name: _draw(name, state[name].shape, depth, generator) for name in sorted(state)}


def _draw(name: str, shape: torch.Size, depth: int, generator: torch.Generator) -> torch.Tensor:
    if "norm" in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    std = _BIAS_STD if name.endswith("bias") else shape[1:].numel() ** -0.5
    if name.startswith("blocks.") and ("attn.proj" in name or "mlp.fc2" in name):
        std /= (2 * depth) ** 0.5
    # torch.rand gives multiples of 2**-24, so all but the last multiplication is exact. Normal draws go
    # through logarithms and cosines, whose last bit depends on the processor.
    return torch.rand(shape, generator=generator).mul_(2).sub_(1).mul_(std / _UNIFORM_STD)
