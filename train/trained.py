"""A predictor out of a checkpoint, every size and every tensor compared first."""

from typing import Any

import torch

from train.checkpoint import Checkpoint, CheckpointError
from train.official import OfficialCheckpointError, ensure_same_tensors
from train.predictor import Predictor, PredictorConfig, PredictorConfigError


def trained_predictor(checkpoint: Checkpoint) -> Predictor:
    """The predictor with its weights after `checkpoint.step` updates, on the CPU. Raises CheckpointError."""
    try:
        predictor = Predictor(PredictorConfig(**checkpoint.predictor))
    except (TypeError, PredictorConfigError) as error:
        raise CheckpointError(f"The checkpoint's predictor cannot be built: {error}") from error
    load_weights(predictor, checkpoint.model)
    return predictor


def load_weights(predictor: Predictor, weights: dict[str, torch.Tensor]) -> None:
    """Fill the predictor. Raises CheckpointError that lists the tensors that differ, with nothing loaded."""
    try:
        ensure_same_tensors(weights, predictor.config)
    except OfficialCheckpointError as error:
        raise CheckpointError(str(error)) from error
    predictor.load_state_dict(weights)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Fill the optimiser. Raises CheckpointError."""
    try:
        optimiser.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"The checkpoint's optimiser is not the one of this run: {error}. "
            "Start the run again under another name, with --init for its weights."
        ) from error
