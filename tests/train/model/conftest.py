"""Golden numbers of the reference implementation, and a predictor that holds its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from train.predictor import Predictor, PredictorConfig

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Weights, inputs, output and gradients of the reference predictor at a small size."""
    return load_file(DATA / "small_predictor.safetensors")


@pytest.fixture(scope="session")
def golden_json():
    """Read one of the reference's JSON files by name."""

    def read(name: str) -> Any:
        return json.loads((DATA / name).read_text())

    return read


@pytest.fixture
def golden_config() -> PredictorConfig:
    return PredictorConfig(
        grid_height=2, grid_width=3, encoder_width=24, width=64, depth=2, num_heads=2, head="absolute"
    )


@pytest.fixture
def golden_weights(golden) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix("weight."): tensor for name, tensor in golden.items() if name.startswith("weight.")
    }


@pytest.fixture
def golden_predictor(golden_config, golden_weights) -> Predictor:
    predictor = Predictor(golden_config)
    predictor.load_state_dict(golden_weights)
    return predictor


@pytest.fixture
def golden_clip(golden) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents (2, 5, 6, 24), actions (2, 4, 7) and states (2, 5, 7)."""
    return golden["input.latents"], golden["input.actions"], golden["input.states"]
