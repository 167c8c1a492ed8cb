"""Regenerate the golden numbers in `data/` from a clone of facebookresearch/vjepa2.

    python tests/train/model/make_reference_data.py --reference PATH_TO_CLONE

Modules and functions are imported from the clone when this runs; none of its code is kept here. The two inner
functions of its training loop cannot be imported: they are cut out of its syntax tree and run as they stand.
The full-size predictor is built once for the names and shapes of its tensors (2 GB of memory).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import logging
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import timm.layers
import torch
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation
from torch.nn import functional as F

DATA = Path(__file__).parent / "data"

# A grid that is not square shows the rescaling of columns; heads of 32 leave two channels unrotated.
GRID_HEIGHT, GRID_WIDTH, PATCH = 2, 3, 16
ENCODER_WIDTH, WIDTH, DEPTH, HEADS = 24, 64, 2, 2
CLIPS, FRAMES, ROLLOUT_STEPS = 2, 5, 3
POSES = 20
GRADIENTS = ("action_encoder.weight", "predictor_embed.weight", "predictor_blocks.0.attn.qkv.bias")


def main() -> None:
    """Write every file of `data/`."""
    reference = _reference_path()
    tensors, losses = _small_predictor(reference)
    save_file(tensors, DATA / "small_predictor.safetensors")
    _write_json("small_losses.json", losses)
    _write_json("official_shapes.json", _official_shapes())
    _write_json("learning_rates.json", _learning_rates())
    _write_json("poses.json", _poses())


def _reference_path() -> Path:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="clone of facebookresearch/vjepa2")
    reference = parser.parse_args().reference.resolve()
    sys.path.insert(0, str(reference))
    # Names that the clone imports and newer releases have moved or dropped.
    sys.modules["timm.models.layers"] = timm.layers
    torch.backends.cuda.sdp_kernel = contextlib.nullcontext
    return reference


def _small_predictor(reference: Path) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    generator = torch.Generator().manual_seed(20250612)
    predictor = _build((GRID_HEIGHT * PATCH, GRID_WIDTH * PATCH), ENCODER_WIDTH, WIDTH, DEPTH, HEADS)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.normal_(std=0.2, generator=generator)
    num_tokens = GRID_HEIGHT * GRID_WIDTH
    latents = torch.randn(CLIPS, FRAMES, num_tokens, ENCODER_WIDTH, generator=generator)
    latents = F.layer_norm(latents, (ENCODER_WIDTH,))
    actions = torch.randn(CLIPS, FRAMES - 1, 7, generator=generator)
    states = torch.randn(CLIPS, FRAMES, 7, generator=generator)
    output = predictor(latents[:, :-1].flatten(1, 2), actions, states[:, :-1])
    losses = {
        str(steps): _losses(reference, predictor, latents.flatten(1, 2), actions, states, steps)
        for steps in (1, 2, ROLLOUT_STEPS)
    }
    losses["2"]["loss"].backward()
    gradients = {
        name: parameter.grad for name, parameter in predictor.named_parameters() if name in GRADIENTS
    }
    tensors = {"input.latents": latents, "input.actions": actions, "input.states": states}
    tensors["output"] = output.unflatten(1, (FRAMES - 1, num_tokens)).detach().contiguous()
    tensors |= {f"weight.{name}": tensor for name, tensor in predictor.state_dict().items()}
    tensors |= {f"gradient.{name}": gradient for name, gradient in gradients.items()}
    return tensors, {steps: {k: v.item() for k, v in values.items()} for steps, values in losses.items()}


def _build(
    image_size: tuple[int, int], encoder_width: int, width: int, depth: int, heads: int
) -> torch.nn.Module:
    return importlib.import_module("src.models.ac_predictor").vit_ac_predictor(
        img_size=image_size,
        patch_size=PATCH,
        num_frames=2 * FRAMES,
        tubelet_size=2,
        embed_dim=encoder_width,
        predictor_embed_dim=width,
        depth=depth,
        num_heads=heads,
        use_rope=True,
        uniform_power=True,
    )


def _losses(
    reference: Path,
    predictor: torch.nn.Module,
    latents: torch.Tensor,
    actions: torch.Tensor,
    states: torch.Tensor,
    rollout_steps: int,
) -> dict[str, torch.Tensor]:
    names = {
        "torch": torch,
        "F": F,
        "predictor": predictor,
        "normalize_reps": True,
        "tokens_per_frame": GRID_HEIGHT * GRID_WIDTH,
        "auto_steps": rollout_steps,
        "loss_exp": 1.0,
        "actions": actions,
        "states": states,
        # Sliced on the way, then ignored by this model.
        "extrinsics": torch.zeros(CLIPS, FRAMES, 6),
    }
    functions = _inner_functions(
        reference / "app/vjepa_droid/train.py", ("forward_predictions", "loss_fn"), names
    )
    teacher_forced, rolled_out = functions["forward_predictions"](latents)
    losses = [functions["loss_fn"](predicted, latents) for predicted in (teacher_forced, rolled_out)]
    return {"loss": sum(losses), "teacher_forcing_loss": losses[0], "rollout_loss": losses[1]}


def _inner_functions(
    path: Path, wanted: Iterable[str], names: dict[str, Any]
) -> dict[str, Callable[..., Any]]:
    """Functions nested anywhere in a file, run with the given names around them."""
    tree = ast.parse(path.read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in wanted]
    exec(compile(ast.Module(body=found, type_ignores=[]), str(path), "exec"), names)
    return {name: names[name] for name in wanted}


def _official_shapes() -> dict[str, list[int]]:
    predictor = _build((256, 256), 1408, 1024, 24, 16)
    return {name: list(tensor.shape) for name, tensor in predictor.state_dict().items()}


def _learning_rates() -> dict[str, dict[str, float]]:
    """The rate in force at chosen updates (counted from 0) of the published run and of one of 700."""
    schedule = importlib.import_module("src.utils.schedulers").WSDSchedule
    runs = {
        "94500": ((4_500, 4_500, 94_500), (0, 1, 2_249, 4_498, 4_499, 4_500, 89_999, 90_000, 92_250, 94_499)),
        "700": ((33, 33, 700), (0, 16, 31, 32, 33, 666, 667, 680, 698, 699)),
    }
    rates = {}
    for total, ((warmup, anneal, steps), chosen) in runs.items():
        optimizer = types.SimpleNamespace(param_groups=[])
        wsd = schedule(optimizer, warmup, anneal, steps, start_lr=7.5e-5, ref_lr=4.25e-4, final_lr=0.0)
        all_rates = [wsd.step() for _ in range(steps)]
        rates[total] = {str(step): all_rates[step] for step in chosen}
    return rates


def _poses() -> dict[str, list[list[float]]]:
    """States, actions, the states after them and the actions found again, by the planner's own functions."""
    logging.disable()
    planner = importlib.import_module("notebooks.utils.mpc_utils")
    rng = np.random.default_rng(5)
    states, actions = _random_poses(rng), _random_poses(rng)
    actions[:, 6] -= 0.5
    after = planner.compute_new_pose(torch.tensor(states)[:, None], torch.tensor(actions)[:, None])[:, 0]
    differences = [planner.poses_to_diff(*pair).tolist() for pair in zip(states, after.numpy(), strict=True)]
    return {
        "states": states.tolist(),
        "actions": actions.tolist(),
        "after": after.tolist(),
        "differences": differences,
    }


def _random_poses(rng: np.random.Generator) -> np.ndarray:
    angles = Rotation.random(POSES, rng).as_euler("xyz")
    return np.concatenate([rng.normal(size=(POSES, 3)), angles, rng.uniform(size=(POSES, 1))], axis=1)


def _write_json(name: str, content: dict[str, Any]) -> None:
    """One line for each top-level key, so that differences read well."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    (DATA / name).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
