"""How well the stages of `encode` overlap: wall time against what no schedule could beat, in one run.

    python tests/benchmarks/featurize_overlap.py
    python tests/benchmarks/featurize_overlap.py --workers 2 --encoder vit-tiny-random
    python tests/benchmarks/featurize_overlap.py --device cuda --encoder vjepa2-vitg --episodes 100 --views 16

Sample episodes are written, indexed and planned once; then the same slots are encoded again and again into
copies of the planned store, in turns one stage after the other (`sequential`) and as a build does it
(`overlapped`). The limit of a run is the larger of

    its slowest stage   wall time inside it where nothing else runs, so in the sequential runs; that of decode
                        is divided by how many slots a worker may decode at once, each by the workers
    CPU / cores         CPU seconds of the overlapped run, children included; also given with those of the
                        sequential run, since neighbours on one processor slow each other down

Start-up is left out: a run before those that count starts the processes. Weights are drawn, all else is
real. On a GPU `encoder busy` is measured by events, and the encoder's FLOP/s stand beside those of a matrix
product.
"""

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encode_runs import Run

# The children that decode import this file: what is heavy is imported where it is used.


def main(arguments: argparse.Namespace) -> None:
    """Print a line a run, and the ratios of the medians."""
    from encode_runs import measure, planned_build

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source = arguments.source or write_sample(Path(folder), arguments.size, arguments.episodes)
        planned = planned_build(Path(folder), source, arguments.encoder, arguments.device, arguments.views)
        workers = arguments.workers
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else None
        store, digests = Path(folder) / "features.zarr", set()
        runs: dict[bool, list[Run]] = {False: [], True: []}
        for round_number in range(arguments.rounds + 1):
            for overlapped in runs:
                run, made = measure(planned, store, overlapped, pool, workers)
                digests.add(made)
                if round_number:
                    runs[overlapped].append(run)
                    print_run(run, overlapped)
        if pool is not None:
            pool.shutdown()
    print(f"stores: {len(digests)} different, {min(digests)[:12]}")
    print_ratios(runs, workers, arguments.device)
    if arguments.device != "cpu":
        print_flops(runs[True], arguments.encoder, arguments.device)


def write_sample(folder: Path, size: str, num_episodes: int) -> Path:
    """Sample episodes to encode."""
    from featurize.demo_data import write_demo_data

    width_px, height_px = map(int, size.split("x"))
    write_demo_data(
        folder / "source", num_episodes=num_episodes, seed=0, width_px=width_px, height_px=height_px
    )
    return folder / "source"


def print_run(run: "Run", overlapped: bool) -> None:
    """What it took, and where."""
    stages = ", ".join(f"{stage} {run.busy_seconds(stage):.2f} s" for stage in run.spans)
    name = "overlapped" if overlapped else "sequential"
    print(f"{name}: wall {run.wall_seconds:.2f} s, CPU {run.cpu_seconds:.2f} s; in {stages}", flush=True)


def print_ratios(runs: "dict[bool, list[Run]]", workers: int, device: str) -> None:
    """Wall time over the limit, and the encoder's share."""
    import torch

    from featurize.threads import most_decoders

    cores = len(os.sched_getaffinity(0))
    at_once = {"decode": min(cores, workers * most_decoders(torch.device(device), workers))}
    slowest = {
        stage: median(run.busy_seconds(stage) for run in runs[False]) / at_once.get(stage, workers)
        for stage in runs[False][0].spans
    }
    stage = max(slowest, key=lambda name: slowest[name])
    wall = {name: median(run.wall_seconds for run in group) for name, group in runs.items()}
    cpu = {name: median(run.cpu_seconds for run in group) / cores for name, group in runs.items()}
    limit = max(slowest[stage], cpu[True])
    print(f"slowest stage: {stage}, {slowest[stage]:.2f} s; CPU / {cores} cores: {cpu[True]:.2f} s")
    print(f"wall / limit: overlapped {wall[True] / limit:.3f}, sequential {wall[False] / limit:.3f}")
    with_sequential = wall[True] / max(slowest[stage], cpu[False])
    print(f"overlapped wall / limit with the CPU seconds of the sequential runs: {with_sequential:.3f}")
    print(f"encoder busy: {median(run.encoder_busy_share for run in runs[True]):.3f} of the wall time")


def print_flops(runs: "list[Run]", encoder: str, device: str) -> None:
    """FLOP/s while the encoder was at work, against a large bfloat16 matrix product on the same device."""
    import torch

    from featurize.encoder.registry import describe
    from train.step_rate import matmul_rate

    flops = int(describe(encoder)["flops_per_frame"])
    reached = median(flops * run.num_frames / run.device_seconds for run in runs)
    limit = matmul_rate(torch.device(device), torch.bfloat16)
    print(f"encoder: {reached / 1e12:.0f} TFLOP/s, {reached / limit:.3f} of a matrix product's")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="timm:vit_tiny_patch16_224")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="1280x720", help="of the sample videos")
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--views", type=int, default=4, help="trajectories of an episode")
    parser.add_argument("--source", type=Path, help="episodes there are, instead of sample ones")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    main(parser.parse_args())
