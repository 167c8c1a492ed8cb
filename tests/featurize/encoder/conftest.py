"""Two tiny V-JEPA 2 encoders, with what the reference implementation says about them.

Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from featurize.encoder.spec import RandomVitSpec, Vjepa2Spec

REFERENCE_DATA = Path(__file__).parent / "reference_data"
RelativeError = Callable[[Tensor, Tensor], float]


@pytest.fixture(scope="session")
def reference_data() -> Path:
    return REFERENCE_DATA


@pytest.fixture(scope="session")
def pretraining_spec() -> Vjepa2Spec:
    """The encoder of `pretraining.pt`."""
    return Vjepa2Spec(name="tiny", image_size_px=64, patch_size_px=8, width=48, depth=2, num_heads=3)


@pytest.fixture(scope="session")
def action_conditioned_spec() -> Vjepa2Spec:
    """The encoder of `action_conditioned.pt`."""
    size = {"width": 66, "depth": 2, "num_heads": 3, "mlp_ratio": 48 / 11}
    return Vjepa2Spec(name="tiny-ac", image_size_px=64, patch_size_px=8, **size)


@pytest.fixture(scope="session")
def random_spec() -> RandomVitSpec:
    """No file needed."""
    size = {"width": 48, "depth": 2, "num_heads": 3}
    return RandomVitSpec(name="tiny-random", image_size_px=64, patch_size_px=8, seed=3, **size)


@pytest.fixture(scope="session")
def frames() -> Tensor:
    with np.load(REFERENCE_DATA / "outputs.npz") as outputs:
        return torch.from_numpy(outputs["frames"]).float()


@pytest.fixture(scope="session")
def sixteen_frames() -> Tensor:
    return torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255


@pytest.fixture(scope="session")
def reference_latents() -> Callable[[str], Tensor]:
    """`reference_latents("pretraining_encoder")`: layer-normed tokens (F, N, D) of the reference."""

    def latents_of(network: str) -> Tensor:
        with np.load(REFERENCE_DATA / "outputs.npz") as outputs:
            return torch.from_numpy(outputs[network])

    return latents_of


@pytest.fixture(scope="session")
def relative_error() -> RelativeError:
    return lambda ours, theirs: ((ours - theirs).norm() / theirs.norm()).item()
