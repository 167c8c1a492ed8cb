"""The published sizes on this machine: one frame through ViT-g, one update of the vjepa2-ac predictor.

Weights are random, all else is real. Prints seconds and the peak memory of the process.

    python tests/benchmarks/full_size.py encoder      # about 8 GiB
    python tests/benchmarks/full_size.py predictor    # about 14 GiB, minutes on a CPU
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.load import build_vjepa2
from featurize.encoder.registry import load_encoder
from train.objective import Objective
from train.optimiser import build_adamw, set_learning_rate
from train.predictor import Predictor
from train.presets import find_preset


def encode_one_frame() -> None:
    """Save random weights in the official layout, load them strictly, encode one 256 x 256 frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vitg.pt"
        _save_random_vitg(path)
        started = time.perf_counter()
        encoder = load_encoder("vjepa2-vitg", weights=path)
        loaded = time.perf_counter()
        latents_FND = encoder.encode(torch.rand(1, 3, 256, 256) * 255)
    print(f"vjepa2-vitg: latents {tuple(latents_FND.shape)}, finite: {bool(latents_FND.isfinite().all())}")
    print(f"load and hash {loaded - started:.1f} s, encode {time.perf_counter() - loaded:.1f} s, {_peak()}")


def update_once() -> None:
    """One forward, backward and AdamW update at batch 1, 16 frames, two-step rollout."""
    preset = find_preset("vjepa2-ac")
    predictor = Predictor(preset.config(preset.latent_shape))
    optimiser = build_adamw(predictor)
    set_learning_rate(optimiser, preset.training.schedule.learning_rate(0))
    latents_BTND = torch.nn.functional.layer_norm(torch.randn(1, 16, 256, 1408), (1408,))
    actions_BTA, states_BTA = 0.03 * torch.randn(1, 15, 7), torch.randn(1, 16, 7)
    started = time.perf_counter()
    losses = Objective(rollout_steps=2)(predictor, latents_BTND, actions_BTA, states_BTA)
    losses["loss"].backward()
    optimiser.step()
    parameters = sum(parameter.numel() for parameter in predictor.parameters())
    print(f"vjepa2-ac: {parameters:,} parameters, loss {losses['loss'].item():.4f}")
    print(f"one update {time.perf_counter() - started:.1f} s, {_peak()}")


def _save_random_vitg(path: Path) -> None:
    names = build_vjepa2(encoder_spec("vjepa2-vitg")).state_dict()  # type: ignore[arg-type]
    tensors = {f"module.backbone.{name}": 0.02 * torch.randn(t.shape) for name, t in names.items()}
    torch.save({"target_encoder": tensors}, path)


def _peak() -> str:
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["encoder", "predictor"])
    {"encoder": encode_one_frame, "predictor": update_once}[parser.parse_args().what]()
