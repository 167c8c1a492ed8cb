"""Peak memory of featurize, verify, merge and train over data 1, 4 and 16 times as large: it must stay flat.

    python tests/sweeps/memory.py

Each number is the greatest resident size that a fresh process reached (VmHWM in /proc/self/status).
Featurize builds sources of 24, 96 and 384 episodes; the others work on drawn stores of 0.2, 0.8 and 3.1 GB,
which are larger than what any of them may hold.
"""

import argparse
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from featurize.recipe import Build, FeaturizeRecipe
from store_schema.merge import merge_stores
from store_schema.verify import verify_hashes
from tests.conftest import write_store
from tests.featurize.build.builds import build_store, write_source
from tests.store_schema.rewriting import with_other_episodes
from train.loop import Progress
from train.recipe_defaults import recipe_for
from train.trainer import train

FACTORS: Final = (1, 4, 16)
BASE_EPISODES: Final = 24
BASE_TRAJECTORIES: Final = 20
FRAMES: Final = 100
NUM_TOKENS, WIDTH = 256, 384
NUM_UPDATES: Final = 10
KIB_PER_MB: Final = 1000 * 1000 / 1024
PROCESSES: Final = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure and print one table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    print(f"{'peak MB':<14}" + "".join(f"{f'{factor}x':>9}" for factor in FACTORS))
    with tempfile.TemporaryDirectory() as name:
        for work, factors in WORK.items():
            peaks = {factor: peak_mb(work, Path(name), factor) for factor in factors}
            shown = (f"{peaks[factor]:>9.0f}" if factor in peaks else f"{'':>9}" for factor in FACTORS)
            if work is not draw:
                print(f"{work.__name__:<14}" + "".join(shown), flush=True)


def featurize(folder: Path, factor: int) -> None:
    """A whole build on the library path."""
    source = write_source(folder / f"source-{factor}", (80,) * (BASE_EPISODES * factor))
    build_store(
        Build(recipe=FeaturizeRecipe(), store=folder / f"featurized-{factor}.zarr", source_root=source)
    )


def merge(folder: Path, factor: int) -> None:
    """The store of this factor out of four of the one before."""
    part = folder / f"drawn-{factor // 4}.zarr"
    copies = [
        with_other_episodes(part, folder / f"copy-{factor}-{n}.zarr", suffix=f"-{factor}-{n}")
        for n in range(3)
    ]
    merge_stores([part, *copies], folder / f"drawn-{factor}.zarr")


def draw(folder: Path, _factor: int) -> None:
    """The smallest store, of latents a quarter as wide as ViT-g's."""
    splits = ["validation" if number % 5 == 0 else "train" for number in range(BASE_TRAJECTORIES)]
    write_store(
        folder / "drawn-1.zarr",
        trajectories=[(FRAMES, split) for split in splits],
        num_tokens=NUM_TOKENS,
        width=WIDTH,
    )


def verify(folder: Path, factor: int) -> None:
    """Every byte of the store of this factor."""
    assert list(verify_hashes(folder / f"drawn-{factor}.zarr")) == []


def train_briefly(folder: Path, factor: int) -> None:
    """Ten updates that draw from the whole store; evaluating all held-out starts would take hours."""
    recipe = recipe_for("demo", steps=1000, batch_clips=4, micro_batch_clips=4, clip_frames=8)

    def stop(progress: Progress) -> None:
        if progress.step == NUM_UPDATES:
            os.kill(os.getpid(), signal.SIGTERM)

    train(recipe, folder / f"drawn-{factor}.zarr", folder / f"run-{factor}", device="cpu", on_progress=stop)


WORK: Final = {
    featurize: FACTORS,
    draw: FACTORS[:1],
    merge: FACTORS[1:],
    verify: FACTORS,
    train_briefly: FACTORS,
}
"""What is measured, in an order in which each finds what it needs, at which sizes."""


def peak_mb(work: Callable[[Path, int], None], folder: Path, factor: int) -> float:
    """What `work` takes in a process of its own."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_measured, args=(work, folder, factor, sender))
    process.start()
    sender.close()
    peak: float = receiver.recv()
    process.join()
    return peak


def _measured(work: Callable[[Path, int], None], folder: Path, factor: int, told: Connection) -> Any:
    torch.set_num_threads(1)
    work(folder, factor)
    told.send(_peak_kib() / KIB_PER_MB)


def _peak_kib() -> int:
    """Not ru_maxrss, which a spawned process inherits from the one that spawned it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


if __name__ == "__main__":
    main()
