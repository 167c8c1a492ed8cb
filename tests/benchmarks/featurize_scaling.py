"""The flow's step `encode` over a Dask scheduler's address, with 1 and 2 workers: how much faster two are.

    python tests/benchmarks/featurize_scaling.py
    python tests/benchmarks/featurize_scaling.py --encoder timm:vit_tiny_patch16_224 --slots-per-task 8

Every worker is a process with one core of its own, as on a cluster, with its decoding children on the same
core: two can be twice as fast at most. The flow only knows the address. Start-up is left out: the same flow
has run over the same workers once, so that each has its encoder and its children at hand. Sample episodes;
drawn weights; the rest is what `permafrost featurize --step encode --dask-address ...` does, with Prefect.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import timm
import torch
from distributed import Client

import pipeline.featurize_flow as flows
from featurize.calibrate import calibrate
from featurize.demo_data import write_demo_data
from featurize.encode import pending_slots
from featurize.encoders import encoder_of
from featurize.index import index
from featurize.plan import plan
from featurize.recipe import Build, FeaturizeRecipe
from pipeline.prefect_server import prefect_server
from pipeline.workers import Workers, local_cluster
from store_schema.ledger import read_ledger


def main(arguments: argparse.Namespace) -> None:
    """Print the wall times in turns, and the ratio of the medians."""
    flows.slots_per_task = lambda *_: arguments.slots_per_task
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, prefect_server():
        planned = planned_build(Path(folder), arguments)
        seconds = {num_workers: [] for num_workers in (1, 2)}
        for _ in range(arguments.rounds):
            for num_workers, walls in seconds.items():
                walls.append(encode_seconds(planned, Path(folder) / "features.zarr", num_workers))
                print(f"{num_workers} of 2 workers: {walls[-1]:.2f} s", flush=True)
    one, two = (median(walls) for walls in seconds.values())
    print(f"2 workers are {one / two:.2f} times as fast as 1")


def encode_seconds(planned: Build, store: Path, num_workers: int) -> float:
    """Wall time of the flow over workers that have run it before."""
    build = planned.model_copy(update={"store": store})
    with local_cluster(num_workers=num_workers) as cluster, Client(cluster.scheduler_address) as client:
        for number, worker in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
            client.run(keep_to_core, number, workers=[worker])
        runner = Workers(dask_address=cluster.scheduler_address)
        for _ in range(2):
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(planned.store, store)
            started = time.perf_counter()
            num_slots = flows.encode_flow(build, workers=runner)
            seconds = time.perf_counter() - started
    assert num_slots == len(read_ledger(store)), "slots are missing"
    return seconds


def keep_to_core(number: int) -> None:
    """Keep every thread of this process, and what it will start, to one core."""
    cores = sorted(os.sched_getaffinity(0))
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cores[number % len(cores)]})


def planned_build(folder: Path, arguments: argparse.Namespace) -> Build:
    """A store that is ready to be encoded; a timm model gets a file of drawn weights."""
    source, name = arguments.source or folder / "source", arguments.encoder
    if arguments.source is None:
        write_demo_data(source, num_episodes=arguments.episodes, seed=0, width_px=1280, height_px=720)
    weights = None
    if name.startswith("timm:"):
        weights = folder / "drawn.pt"
        torch.save(timm.create_model(name.removeprefix("timm:")).state_dict(), weights)
    build = Build(
        recipe=FeaturizeRecipe(encoder=name, num_views=arguments.views),
        store=folder / "planned.zarr",
        source_root=source.absolute(),
        weights=weights,
        device="cpu",
    )
    index(build)
    plan(build, encoder_of(build))
    calibrate(build, encoder_of(build))
    print(f"{len(pending_slots(build))} slots")
    return build


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="vit-tiny-random")
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--views", type=int, default=8, help="trajectories of an episode")
    parser.add_argument("--source", type=Path, help="episodes there are, instead of sample ones")
    parser.add_argument("--slots-per-task", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    main(parser.parse_args())
