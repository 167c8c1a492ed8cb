"""Training by several processes: measured with one and two on this machine, and 8 to 512 GPUs on paper.

    torchrun --standalone --nproc-per-node 2 tests/benchmarks/ddp_scaling.py measure
    python tests/benchmarks/ddp_scaling.py paper --tflops 400

`measure` alternates in every round, in the same processes: one process with the whole batch while the other
sleeps; both with half of it; both with half of it and no exchange of gradients. Medians over the rounds.
`paper` computes; nothing of it is measured, and every rate it rests on is an option.
"""

import argparse
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from train.assembly import PredictorLosses
from train.clips import Clips
from train.describe import describe
from train.launch import ranks_of_torchrun
from train.objective import Objective, normalise_latents
from train.optimiser import build_adamw
from train.predictor import ACTION_SIZE, Predictor
from train.presets import find_preset
from train.ranks import ALONE, Ranks
from train.update import update

GPUS_A_NODE = 8
BYTES_OF_FLOAT32 = 4
BYTES_OF_FRAME = 256 * 1408 + 2 * 256
"""int8 latents and float16 token scales of a ViT-g frame."""
OPTIMISER_PASSES = 7
"""Fused AdamW reads weight, gradient and both moments, and writes weight and both moments."""
BACKWARD_SHARE = 2 / 3
"""Of a micro-batch's FLOPs; gradients travel during that of the last micro-batch."""
MICRO_BATCH_CLIPS = 8


def measure(rounds: int, batch_clips: int, micro_batch_clips: int) -> None:
    """Clips a second by one and by two processes, and the share of an update that the exchange adds."""
    with ranks_of_torchrun("cpu") as ranks:
        preset = find_preset("medium")
        predictor = Predictor(preset.config(preset.latent_shape))
        alone = PredictorLosses(predictor, Objective(rollout_steps=2), ranks.device)
        together = ranks.synchronised(alone)
        micro_batches = batch_clips // micro_batch_clips
        clips = _clips(predictor, micro_batch_clips, preset.training.clip_frames)
        seconds: dict[str, list[float]] = {"one": [], "two": [], "apart": []}
        for _ in range(rounds + 1):
            if ranks.is_first:
                seconds["one"].append(_seconds(predictor, alone, clips, micro_batches, ALONE))
            dist.barrier()
            share = micro_batches // ranks.size
            seconds["two"].append(_seconds(predictor, together, clips, share, ranks))
            dist.barrier()
            with together.no_sync() if isinstance(together, DistributedDataParallel) else nullcontext():
                seconds["apart"].append(_seconds(predictor, together, clips, share, ranks))
            dist.barrier()
        if ranks.is_first:
            _print_measured(
                {name: statistics.median(s[1:]) for name, s in seconds.items()}, batch_clips, ranks
            )


def _clips(predictor: Predictor, num_clips: int, num_frames: int) -> Clips:
    config = predictor.config
    return Clips(
        latents_BTND=normalise_latents(
            torch.randn(num_clips, num_frames, config.num_tokens, config.encoder_width)
        ),
        states_BTA=torch.randn(num_clips, num_frames, ACTION_SIZE),
        actions_BTA=0.1 * torch.randn(num_clips, num_frames - 1, ACTION_SIZE),
    )


def _seconds(
    predictor: Predictor, losses_of: torch.nn.Module, clips: Clips, micro_batches: int, ranks: Ranks
) -> float:
    started = time.perf_counter()
    update(
        predictor, build_adamw(predictor), losses_of, repeat(clips), micro_batches=micro_batches, step=0,
        learning_rate=0.0, ranks=ranks,
    )  # fmt: skip
    return time.perf_counter() - started


def _print_measured(seconds: dict[str, float], batch_clips: int, ranks: Ranks) -> None:
    speedup, apart = seconds["one"] / seconds["two"], seconds["one"] / seconds["apart"]
    print(f"one process                {batch_clips / seconds['one']:8.2f} clips/s")
    print(f"{ranks.size} processes, same batch   {batch_clips / seconds['two']:8.2f} clips/s")
    print(f"ratio                      {speedup:8.2f}, limit {ranks.size}")
    print(f"ratio without the exchange {apart:8.2f}: what the cores and the memory of this machine allow")
    print(f"share of the exchange      {1 - seconds['apart'] / seconds['two']:8.1%} of an update")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What the model on paper assumes of the hardware."""

    tflops: float
    nvlink_gb_s: float
    network_gb_s: float
    memory_gb_s: float


def paper(rates: Rates, preset_name: str, num_gpus: list[int]) -> None:
    """Seconds of an update by the number of GPUs, term by term."""
    described = describe(preset_name)
    clips, frames = described["shapes"]["latents"][:2]
    gradient_bytes = BYTES_OF_FLOAT32 * described["parameters"]
    petaflop, gigabytes = described["flops_per_step"] / 1e15, gradient_bytes / 1e9
    print(
        f"{preset_name}: {petaflop:.2f} PFLOP and {gigabytes:.2f} GB of gradients an update of {clips} clips"
    )
    print(f"assumed: {rates}")
    print("GPUs  clips/GPU  compute  AdamW  exchange  waited   update  of linear  read/node  read in all")
    for gpus in num_gpus:
        print(_row(rates, gpus, clips, frames, described["flops_per_step"], gradient_bytes))


def _row(rates: Rates, gpus: int, clips: int, frames: int, flops: float, gradient_bytes: float) -> str:
    # A clip is not divided: with more GPUs than clips, the rest of them would have nothing to do.
    at_work = min(gpus, clips)
    compute = flops / (at_work * rates.tflops * 1e12)
    adamw = OPTIMISER_PASSES * gradient_bytes / (rates.memory_gb_s * 1e9)
    exchange = exchange_seconds(gradient_bytes, at_work, rates)
    passes = -(-clips // (at_work * MICRO_BATCH_CLIPS))
    waited = max(0.0, exchange - BACKWARD_SHARE * compute / passes)
    update_seconds = compute + adamw + waited
    linear = (flops / (rates.tflops * 1e12) + adamw) / gpus
    read = clips * frames * BYTES_OF_FRAME / update_seconds / 1e9
    nodes = -(-at_work // GPUS_A_NODE)
    return (
        f"{gpus:4d}  {clips / gpus:9.1f}  {1e3 * compute:4.0f} ms  {1e3 * adamw:2.1f} ms  "
        f"{1e3 * exchange:5.1f} ms  {1e3 * waited:4.1f} ms  {1e3 * update_seconds:3.0f} ms  "
        f"{linear / update_seconds:9.0%}  {read / nodes:4.1f} GB/s  {read:6.1f} GB/s"
    )


def exchange_seconds(num_bytes: float, gpus: int, rates: Rates) -> float:
    """A ring inside each node, then rings between nodes, each GPU with its part of the node's bytes.

    2 (g-1)/g bytes / NVLink + 2 (n-1)/n bytes / network of a node, for g GPUs in each of n nodes.
    """
    inside, nodes = min(gpus, GPUS_A_NODE), -(-gpus // GPUS_A_NODE)
    by_nvlink = 2 * (inside - 1) / inside * num_bytes / (rates.nvlink_gb_s * 1e9)
    return by_nvlink + 2 * (nodes - 1) / nodes * num_bytes / (rates.network_gb_s * 1e9)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["measure", "paper"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-clips", type=int, default=8)
    parser.add_argument("--micro-batch-clips", type=int, default=2)
    parser.add_argument("--preset", default="vjepa2-ac")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64, 256, 512])
    parser.add_argument("--tflops", type=float, default=400, help="of one GPU in this step")
    parser.add_argument("--nvlink-gb-s", type=float, default=360, help="a GPU's, as an all-reduce uses it")
    parser.add_argument("--network-gb-s", type=float, default=50, help="a node's: 50 is one 400 Gb/s adapter")
    parser.add_argument("--memory-gb-s", type=float, default=4800, help="of one GPU")
    chosen = parser.parse_args()
    if chosen.what == "measure":
        measure(chosen.rounds, chosen.batch_clips, chosen.micro_batch_clips)
        return
    rates = Rates(
        tflops=chosen.tflops,
        nvlink_gb_s=chosen.nvlink_gb_s,
        network_gb_s=chosen.network_gb_s,
        memory_gb_s=chosen.memory_gb_s,
    )
    paper(rates, chosen.preset, chosen.gpus)


if __name__ == "__main__":
    main()
