"""Transformer blocks compiled for a GPU, and the few batch sizes that they are compiled for.

Blocks, not the whole network: all of one depth share one compiled block, so that a worker starts in seconds.
No CUDA graphs: at the sizes that need a GPU every kernel runs longer than its launch takes (ViT-g, 32 frames:
17 TFLOP in some 500 launches), and graphs would reuse the memory of latents that are still being copied away.
No autotuning by time: it may choose other kernels in the next process, and so other bits.
"""

from typing import Final

from torch import nn
from torch._dynamo import config as dynamo_config

SMALLEST_PASS: Final = 4
BLOCKS: Final = "blocks"
MAX_COMPILED: Final = 64


def compile_blocks(network: nn.Module, backend: str = "inductor") -> None:
    """Compile every block of a vision transformer in place; names of weights stay as they are."""
    # A few sizes, by threads of the host and by encoders of one process; beyond the default of 8 they would
    # silently run uncompiled, and round otherwise.
    dynamo_config.recompile_limit = max(dynamo_config.recompile_limit, MAX_COMPILED)
    options: dict[str, str | int | bool] | None = {"deterministic": True} if backend == "inductor" else None
    for name, module in network.named_modules():
        if name.rpartition(".")[-1] == BLOCKS:
            for block in module.children():
                block.compile(dynamic=False, backend=backend, options=options)


def passes(num_frames: int) -> list[int]:
    """Powers of two that together hold `num_frames`, largest first; only the last may have room to spare.

    A compiled block knows the sizes of its batch: another size is compiled anew, and may round differently.
    With these, 128 frames and fewer need six sizes. For example 39 frames: 32 + 4 + 4.
    """
    sizes = []
    while num_frames > 0:
        sizes.append(max(SMALLEST_PASS, 1 << (num_frames.bit_length() - 1)))
        num_frames -= sizes[-1]
    return sizes
