"""How fast a GPU multiplies, as its vendor says it."""

from dataclasses import dataclass
from typing import Final

from featurize.errors import FeaturizeError


class UnknownGpuError(FeaturizeError):
    """No GPU of this name is in the table."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """peak_flops_per_second: dense bfloat16 matrix products summed in float32, without sparsity."""

    name: str
    peak_flops_per_second: float


# NVIDIA's data sheets of A100, H100 SXM, H200 SXM, L4 and L40S and of HGX B200 (their figures "with sparsity"
# halved), and the white papers of GA102, Ada and Blackwell for the GeForce cards (FP32 accumulate).
_PEAK_TFLOPS_PER_SECOND: Final = {
    "a100": 312,
    "h100": 989,
    "h200": 989,
    "b200": 2250,
    "l4": 121,
    "l40s": 362,
    "rtx3090": 71,
    "rtx4090": 165,
    "rtx5090": 209,
}


def find_gpu(name: str) -> Gpu:
    """The GPU of this name, in any case. Raises UnknownGpuError, which lists those there are."""
    tflops_per_second = _PEAK_TFLOPS_PER_SECOND.get(name.lower())
    if tflops_per_second is None:
        raise UnknownGpuError(
            f"There is no GPU '{name}' in the table; choose one of {', '.join(_PEAK_TFLOPS_PER_SECOND)}."
        )
    return Gpu(name=name.lower(), peak_flops_per_second=tflops_per_second * 1e12)
