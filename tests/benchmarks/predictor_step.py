"""The predictor's step beside the matrix products of this device, and what each part of it is worth.

    python tests/benchmarks/predictor_step.py --size mid                  # CPU: width 384, 16 x 16 tokens
    python tests/benchmarks/predictor_step.py --size vjepa2-ac --clips 8  # GPU
    python tests/benchmarks/predictor_step.py --size medium --profile

Every row is one way of computing the same passes; the ways are measured in turns in one process, so that a
machine that others use slows all of them. `value` is the FLOP/s reached, by the FLOPs that the product's own
way needs (block-causal attention, the rollout's first frame taken from teacher forcing): a way that computes
more shows as slower. `ratio` is to the fastest matrix product.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn import functional as F

from train.attention import Pattern, StepByStep, attend
from train.compiling import compile_blocks
from train.describe import flops_per_clip
from train.device import autocast, choose_device, compute_dtype
from train.objective import Objective, normalise_latents
from train.optimiser import build_adamw
from train.predictor import Predictor, PredictorConfig
from train.presets import find_preset
from train.step_rate import best_seconds, matmul_rate, predictor_shapes, random_clips

ROLLOUT_STEPS = 2
ROUNDS = 3
Losses = Callable[..., torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of computing the passes of an update."""

    what: str
    losses: Losses
    attend: Callable[..., torch.Tensor] = attend
    compiled: bool = False
    checkpointed_share: float = 0.0


def with_prefix(predictor: Predictor, *clips: torch.Tensor) -> torch.Tensor:
    """The product's objective."""
    return Objective(rollout_steps=ROLLOUT_STEPS)(predictor, *clips)["loss"]


def computing_again(predictor: Predictor, latents_BTND, actions_BTA, states_BTA) -> torch.Tensor:
    """The same losses, the rollout over its whole context: as the public loop, but for the kernels."""
    predicted = normalise_latents(predictor(latents_BTND[:, :-1], actions_BTA, states_BTA[:, :-1]))
    context = torch.cat([latents_BTND[:, :1], predicted[:, :1]], dim=1)
    output = predictor(context, actions_BTA[:, :2], states_BTA[:, :2])
    context = torch.cat([context, normalise_latents(output)[:, -1:]], dim=1)
    return F.l1_loss(predicted, latents_BTND[:, 1:]) + F.l1_loss(context[:, 1:], latents_BTND[:, 1:3])


def attend_masked(query_BGSH, key_BGCH, value_BGCH, pattern: Pattern) -> torch.Tensor:
    """With the mask in full, every pair computed."""
    if not isinstance(pattern, StepByStep):
        return attend(query_BGSH, key_BGCH, value_BGCH, pattern)
    step_C = torch.arange(key_BGCH.shape[2], device=key_BGCH.device) // pattern.tokens_per_step
    mask = step_C[:, None] >= step_C[None, :]
    return F.scaled_dot_product_attention(query_BGSH, key_BGCH, value_BGCH, attn_mask=mask)


def attend_step_by_step(
    query_BGSH, key_BGCH, value_BGCH, pattern: Pattern, tokens_per_step: int
) -> torch.Tensor:
    """Without FlexAttention on a GPU too."""
    pattern = pattern if pattern is None else StepByStep(tokens_per_step)
    return attend(query_BGSH, key_BGCH, value_BGCH, pattern)


def ways(config: PredictorConfig, device: torch.device, *, compile_too: bool) -> list[Way]:
    """The product's first."""
    on_gpu = device.type == "cuda"
    product = Way(what="as trained here", losses=with_prefix, compiled=on_gpu)
    others = [
        Way(what="rollout computed again", losses=computing_again, compiled=on_gpu),
        Way(what="all blocks checkpointed", losses=with_prefix, compiled=on_gpu, checkpointed_share=1.0),
    ]
    if on_gpu:
        tokens = config.tokens_per_step
        others.append(Way(what="not compiled", losses=with_prefix))
        others.append(
            Way(
                what="step-by-step attention instead of FlexAttention",
                losses=with_prefix,
                attend=lambda *heads: attend_step_by_step(*heads, tokens),
                compiled=True,
            )
        )
    else:
        others.append(Way(what="masked attention", losses=with_prefix, attend=attend_masked))
        others.append(Way(what="plain: masked, computed again", losses=computing_again, attend=attend_masked))
    if compile_too and not on_gpu:
        others.append(Way(what="compiled", losses=with_prefix, compiled=True))
    return [product, *others]


def pass_of(way: Way, config: PredictorConfig, clips, device: torch.device) -> Callable[[], None]:
    """Forward and backward of the clips."""
    predictor = Predictor(config).to(device)
    predictor.checkpointed_blocks = round(way.checkpointed_share * config.depth)
    if way.compiled:
        compile_blocks(predictor)

    def run() -> None:
        predictor.zero_grad(set_to_none=True)
        with patch("train.attention.attend", way.attend), autocast(device):
            loss = way.losses(predictor, *clips)
        loss.backward()

    return run


def seconds_in_turns(calls: list[Callable[[], None]], device: torch.device) -> list[float]:
    """The shortest time of each, one after the other in every round; the first round warms up."""
    shortest = [float("inf")] * len(calls)
    for round_number in range(1 + ROUNDS):
        for number, call in enumerate(calls):
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if round_number:
                shortest[number] = min(shortest[number], time.perf_counter() - started)
    return shortest


def optimiser_seconds(config: PredictorConfig, device: torch.device, *, fused: bool) -> float:
    """One step of AdamW."""
    predictor = Predictor(config).to(device)
    for parameter in predictor.parameters():
        parameter.grad = torch.randn_like(parameter)
    groups = [{**group, "fused": fused, "foreach": None} for group in build_adamw(predictor).param_groups]
    return best_seconds(torch.optim.AdamW(groups).step, device)


def measure(
    config: PredictorConfig, num_clips: int, clip_frames: int, device: torch.device, *, compile_too: bool
):
    """All rows: what, value, unit, limit, ratio, and the seconds behind them."""
    dtype = compute_dtype(device)
    shapes = predictor_shapes(config, num_clips, clip_frames - 1)
    clips = random_clips(config, num_clips, clip_frames, device)
    chosen = ways(config, device, compile_too=compile_too)
    before = matmul_rate(device, dtype, shapes)
    seconds = seconds_in_turns([pass_of(way, config, clips, device) for way in chosen], device)
    limit = max(before, matmul_rate(device, dtype, shapes))
    flops = num_clips * flops_per_clip(config, clip_frames, ROLLOUT_STEPS)
    name = f"matrix products, {str(dtype).removeprefix('torch.')}"
    rows = [row(name, limit, "FLOP/s")]
    for way, taken in zip(chosen, seconds, strict=True):
        rows.append({**row(way.what, flops / taken, "FLOP/s", name, flops / taken / limit), "seconds": taken})
    plain, fused = (optimiser_seconds(config, device, fused=flag) for flag in (False, True))
    rows.append(row("AdamW, not fused", plain, "s"))
    rows.append(row("AdamW, fused", fused, "s", "AdamW, not fused", fused / plain))
    return rows


def row(what: str, value: float, unit: str, limit: str | None = None, ratio: float | None = None) -> dict:
    return {"what": what, "value": value, "unit": unit, "limit": limit, "ratio": ratio}


def print_profile(config: PredictorConfig, num_clips: int, clip_frames: int, device: torch.device) -> None:
    """Where the time of the product's own pass goes, by operator."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    clips = random_clips(config, num_clips, clip_frames, device)
    run = pass_of(ways(config, device, compile_too=False)[0], config, clips, device)
    run()
    with torch.profiler.profile(activities=activities) as profile:
        run()
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(profile.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=60))


def config_of(size: str) -> tuple[PredictorConfig, int, int]:
    """Predictor, clips at once and frames of a clip of a preset, or of `mid`."""
    if size != "mid":
        preset = find_preset(size)
        return (
            preset.config(preset.latent_shape),
            min(preset.training.batch_clips, 16),
            preset.training.clip_frames,
        )
    config = PredictorConfig(
        grid_height=16, grid_width=16, encoder_width=384, width=384, depth=8, num_heads=6, head="residual"
    )
    return config, 2, 16


def main() -> None:
    """Print the rows, or with --json keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="mid", help="mid, or a preset: demo, small, medium, vjepa2-ac")
    parser.add_argument("--clips", type=int, help="clips at once")
    parser.add_argument("--frames", type=int, help="frames of a clip")
    parser.add_argument("--depth", type=int, help="fewer blocks of the same size")
    parser.add_argument("--device")
    parser.add_argument("--compile", action="store_true", help="a compiled row on a CPU too (minutes)")
    parser.add_argument("--profile", action="store_true", help="the time of each operator instead")
    parser.add_argument("--json", type=Path, help="write the rows here")
    asked = parser.parse_args()
    config, num_clips, clip_frames = config_of(asked.size)
    if asked.depth:
        config = PredictorConfig(**{**vars(config), "depth": asked.depth})
    num_clips, clip_frames = asked.clips or num_clips, asked.frames or clip_frames
    device = choose_device(asked.device)
    if asked.profile:
        print_profile(config, num_clips, clip_frames, device)
        return
    rows = measure(config, num_clips, clip_frames, device, compile_too=asked.compile)
    for line in rows:
        ratio = "" if line["ratio"] is None else f"{line['ratio']:6.3f} of {line['limit']}"
        print(f"{line['what']:<48} {line['value']:>10.4g} {line['unit']:<7} {ratio}")
    if asked.json:
        asked.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
