"""How costs grow with the size of a store (1x, 4x, 16x) and with the length of a clip (8, 16, 32 frames).

Stores of small drawn latents are written into a temporary folder. Every size is opened and read in a fresh
process, in turns; the best of the rounds counts. Columns are ratios to the first one.

    python tests/benchmarks/growth.py               # some minutes on 2 cores
    python tests/benchmarks/growth.py --rounds 1 --frames 2000 --seconds 0.2
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from pipeline.bench.reading import HANDED_OVER, Reading, open_stream, take
from pipeline.bench.synthetic import SyntheticStore, write_synthetic_store
from pipeline.bench.windows import disjoint_windows, micro_batches
from store_schema.store import Store
from train.assembly import predictor_config, window_sampler
from train.describe import flops_per_clip
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.step_rate import StepRate, predictor_step_rate
from train.subset import long_enough
from train.view import View

CPU = torch.device("cpu")
SIZES, CLIP_LENGTHS = (1, 4, 16), (8, 16, 32)
FRAME_BYTES = 16 * 96 + 2 * 16
DRAWS = 200
STEP_CLIPS = 4
Costs = dict[str, float]


def costs_of_store(path: Path, seconds: float) -> Costs:
    """What a run pays before and while it reads: seconds, bytes a second, and bytes of memory."""
    opened_seconds, store = min((timed(lambda: Store.open(path)) for _ in range(3)), key=lambda pair: pair[0])
    recipe = recipe_for("medium")
    sampler_seconds, sampler = timed(lambda: window_sampler(recipe, View.of_store(store, CPU)))
    draw_seconds, _ = timed(lambda: [sampler.draw(step) for step in range(DRAWS)])
    reading = reading_of(store, recipe, seconds)
    windows = disjoint_windows(long_enough(store.split("train"), recipe.clip_frames), recipe.clip_frames)
    every_frame = micro_batches(windows, recipe.micro_batch_clips)
    drawn = (part for step in count() for part in sampler.draw(step).reshape(-1, recipe.micro_batch_clips))
    started = time.perf_counter()
    with open_stream(reading, chain(every_frame, drawn), HANDED_OVER) as stream:
        next(stream)
        first_seconds = time.perf_counter() - started
        take(stream, reading, batches=len(every_frame) - 1)
        rate = take(stream, reading, seconds=seconds).per_second
    return {
        "Store.open, s": opened_seconds,
        "sampler, s": sampler_seconds,
        "draw of 64 clips, s": draw_seconds / DRAWS,
        "first batch, s": first_seconds,
        "reading, s a GB": 1e9 / rate,
        "peak memory, bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


def costs_of_lengths(path: Path, seconds: float, rounds: int) -> dict[int, Costs]:
    """Of a clip of each length: reading it, a pass of the predictor `small`, and what that should cost."""
    store = Store.open(path)
    measured: dict[int, list[Costs]] = {length: [] for length in CLIP_LENGTHS}
    for _ in range(rounds):
        for length in CLIP_LENGTHS:
            measured[length].append(costs_of_length(store, length, seconds))
    return {length: best(costs) for length, costs in measured.items()}


def costs_of_length(store: Store, clip_frames: int, seconds: float) -> Costs:
    recipe = recipe_for("medium", clip_frames=clip_frames)
    reading = reading_of(store, recipe, seconds)
    windows = disjoint_windows(long_enough(store.split("train"), clip_frames), clip_frames)
    batches = micro_batches(windows, recipe.micro_batch_clips, at_least=8)
    with open_stream(reading, chain.from_iterable(batches for _ in count()), HANDED_OVER) as stream:
        take(stream, reading, batches=len(batches))
        read = take(stream, reading, seconds=seconds)
    config = predictor_config(recipe, View.of_store(store, CPU))
    step: StepRate = predictor_step_rate(
        config, num_clips=STEP_CLIPS, clip_frames=clip_frames, rollout_steps=2, device=CPU
    )
    clip_bytes = reading.batch_bytes / recipe.micro_batch_clips
    return {
        "reading a clip, s": clip_bytes / read.per_second,
        "reading, s a GB": 1e9 / read.per_second,
        "predictor's pass, s a clip": step.pass_seconds / STEP_CLIPS,
        "its block-causal FLOPs": float(flops_per_clip(config, clip_frames, 2)),
    }


def reading_of(store: Store, recipe: TrainRecipe, seconds: float) -> Reading:
    return Reading(
        store=store,
        clip_frames=recipe.clip_frames,
        micro_batch_clips=recipe.micro_batch_clips,
        device=CPU,
        seconds=seconds,
    )


def timed(call: Callable[[], object]) -> tuple[float, object]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def best(measured: Sequence[Costs]) -> Costs:
    return {name: min(costs[name] for costs in measured) for name in measured[0]}


def in_fresh_process(path: Path, seconds: float) -> Costs:
    asked = [sys.executable, __file__, "--child", str(path), "--seconds", str(seconds)]
    costs: Costs = json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return costs


def show(title: str, names: Iterable[str], columns: Sequence[Costs]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("cost", *names):
        table.add_column(heading, justify="left" if heading == "cost" else "right")
    for name, first in columns[0].items():
        ratios = [f"{costs[name] / first:.2f}" for costs in columns[1:]]
        table.add_row(name, f"{first:.3g}", *ratios)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=4000, help="of the smallest store; 80 a slot")
    parser.add_argument("--seconds", type=float, default=2.0, help="of reading, each time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        print(json.dumps(costs_of_store(asked.child, asked.seconds)))
        return
    with tempfile.TemporaryDirectory(prefix="permafrost-growth-") as folder:
        run(Path(folder), asked)


def run(folder: Path, asked: argparse.Namespace) -> None:
    paths = [
        write_synthetic_store(
            SyntheticStore(
                path=folder / f"{size}x.zarr",
                size_bytes=size * asked.frames * FRAME_BYTES,
                encoder="vit-tiny-random",
            )
        )
        for size in SIZES
    ]
    rounds = [[in_fresh_process(path, asked.seconds) for path in paths] for _ in range(asked.rounds)]
    by_size = [best(measured) for measured in zip(*rounds, strict=True)]
    slots = Store.open(paths[0]).attributes.num_slots
    show(f"Stores of {slots} slots and more", [f"{size}x" for size in SIZES], by_size)
    by_length = costs_of_lengths(paths[1], asked.seconds, asked.rounds)
    show("Clips", [f"{length} frames" for length in CLIP_LENGTHS], list(by_length.values()))


if __name__ == "__main__":
    main()
