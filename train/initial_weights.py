"""`--init FILE`: start from a published predictor or from a run of our own."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch

from train.checkpoint import FORMAT_KEY, Checkpoint, CheckpointError, read_tensors
from train.official import load_official_predictor
from train.predictor import PredictorConfig
from train.provenance import ensure_same


def load_initial_weights(path: Path, config: PredictorConfig) -> dict[str, torch.Tensor]:
    """A state dict for `Predictor(config)`, from `vjepa2-ac-vitg.pt` or from one of our checkpoints.

    Raises CheckpointError, OfficialCheckpointError, or RunMismatchError where a checkpoint of ours holds a
    predictor of other sizes.
    """
    if FORMAT_KEY not in read_tensors(path, mapped=True):
        return load_official_predictor(path, config)
    checkpoint = Checkpoint.load(path)
    remedy = "Use the preset and the encoder that the checkpoint was trained with."
    ensure_same("predictor", checkpoint.predictor, asdict(config), remedy)
    return checkpoint.model


def file_sha256(path: Path) -> str:
    """Hash of a file. Raises CheckpointError where there is none."""
    if not path.is_file():
        raise CheckpointError(f"There is no file {path} to start from; check --init.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
