"""The kills of the kill sweep, and what must hold after each; see `kill.py`."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import torch

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.encoders import encoder_of
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan
from featurize.recipe import Build, FeaturizeRecipe
from store_schema.format import ROOT_FILE
from store_schema.integrity import digest
from store_schema.verify import verify_hashes
from tests.featurize.build.builds import POSE_KEY, write_source
from tests.featurize.droid_files import write_episode
from train.checkpoint import Checkpoint
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.trainer import train

STEPS: Final[dict[str, Callable[[Build], Any]]] = {
    "index": index,
    "plan": lambda build: plan(build, encoder_of(build)),
    "calibrate": lambda build: calibrate(build, encoder_of(build)),
    "encode": lambda build: encode(build, encoder_of(build)),
    "finalise": finalise,
}
NUM_NEW_EPISODES: Final = 4
TRAINING: Final = "train"
LIMIT_SECONDS: Final = 300.0
PROCESSES: Final = multiprocessing.get_context("forkserver")


@dataclass(kw_only=True)
class Tally:
    """What happened. too_late: kills that hit nobody; found: what was wrong after a kill."""

    kills: Counter[str] = field(default_factory=Counter)
    too_late: int = 0
    found: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a build, from the state before it. seconds: how long it takes undisturbed."""

    name: str
    step: str
    before: Path
    seconds: float
    expected_digest: str


@dataclass(frozen=True, kw_only=True)
class World:
    """Sources and stores that all kills share; none of them is changed after it was made."""

    folder: Path
    source: Path
    grown_source: Path

    @classmethod
    def at(cls, folder: Path) -> "World":
        """Six episodes, and the same with four more."""
        source = write_source(folder / "source")
        grown = Path(shutil.copytree(source, folder / "grown"))
        for number in range(NUM_NEW_EPISODES):
            new = write_episode(grown / f"new-{number}", uuid=f"LAB+new{number}+2023-07-07", num_rows=80)
            new.edit_rows(
                POSE_KEY, lambda pose, number=number: pose.__setitem__(..., pose[...] / (10 + number))
            )
        return cls(folder=folder, source=source, grown_source=grown)

    def build(self, store: Path, *, grown: bool = False) -> Build:
        """A build of one of the two sources; 1 frame a batch spreads encoding over many moments."""
        return Build(
            recipe=FeaturizeRecipe(num_views=2),
            store=store,
            source_root=self.grown_source if grown else self.source,
        )


def sweep(folder: Path, *, num_library: int, num_prefect: int, seed: int) -> Tally:
    """All kills, the stages taking turns."""
    rng, tally, world = random.Random(seed), Tally(), World.at(folder)
    PROCESSES.set_forkserver_preload(["tests.sweeps.kill_rounds"])
    stages = list(stages_of(world))
    trained = uninterrupted_run(stages[-1].before)
    turns = [*stages, TRAINING]
    rng.shuffle(turns)
    for number in range(num_library):
        turn = turns[number % len(turns)]
        if isinstance(turn, Stage):
            kill_step(turn, world, rng, tally)
        else:
            kill_training(trained, rng, tally)
    for _ in range(num_prefect):
        kill_command(world, stages[len(STEPS) - 1].expected_digest, rng, tally)
    return tally


def stages_of(world: World) -> Iterator[Stage]:
    """Every step of a first build and of an append, undisturbed, with the state before each kept."""
    store = world.folder / "undisturbed.zarr"
    for kind, grown in (("", False), ("append ", True)):
        build, taken = world.build(store, grown=grown), []
        for step in STEPS:
            before = world.folder / "before" / (kind + step)
            shutil.copytree(store, before) if store.exists() else before.parent.mkdir(exist_ok=True)
            taken.append((kind + step, step, before, in_process(run_steps, build, [step])))
        for name, step, before, seconds in taken:
            yield Stage(name=name, step=step, before=before, seconds=seconds, expected_digest=digest(store))


def in_process(target: Callable[..., None], *arguments: Any) -> float:
    """Run `target` in a process of its own, as a killed one is; seconds of work, without start-up."""
    process = _begun(target, arguments)
    started = time.monotonic()
    process.join(LIMIT_SECONDS)
    if process.exitcode != 0:
        raise RuntimeError(f"{target.__name__} ended with exit code {process.exitcode}")
    return time.monotonic() - started


def _begun(target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """A process that has said that it begins its work."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(*arguments, sender))
    process.start()
    sender.close()
    if not receiver.poll(LIMIT_SECONDS):
        raise RuntimeError("the process did not begin")
    return process


def run_steps(build: Build, steps: list[str], begun: Connection) -> None:
    """What the process to be killed does; it says when it begins."""
    torch.set_num_threads(1)
    encoder_of(build)
    begun.send(True)
    for step in steps:
        STEPS[step](build)


def kill_step(stage: Stage, world: World, rng: random.Random, tally: Tally) -> None:
    """One kill within `stage`, the checks, and the rest of the build."""
    store = world.folder / "killed.zarr"
    build = world.build(store, grown=stage.name.startswith("append"))
    for _ in range(20):
        shutil.rmtree(store, ignore_errors=True)
        if stage.before.exists():
            shutil.copytree(stage.before, store)
        if _killed(run_steps, (build, [stage.step]), rng.uniform(0, 0.95 * stage.seconds), tally):
            break
    else:
        raise RuntimeError(f"20 kills in a row came too late for {stage.name}")
    tally.kills[stage.name] += 1
    where = f"{stage.name}, kill {tally.kills[stage.name]}"
    tally.found += [f"{where}: {problem}" for problem in problems_of(store)]
    in_process(run_steps, build, list(STEPS)[list(STEPS).index(stage.step) :])
    if digest(store) != stage.expected_digest:
        tally.found.append(f"{where}: the finished store differs")


def _killed(target: Callable[..., None], arguments: tuple[Any, ...], seconds: float, tally: Tally) -> bool:
    """Whether the process was still at work when SIGKILL came, `seconds` after it began."""
    process = _begun(target, arguments)
    process.join(seconds)
    process.kill()
    process.join(LIMIT_SECONDS)
    tally.too_late += process.exitcode != -signal.SIGKILL
    return process.exitcode == -signal.SIGKILL


def problems_of(store: Path) -> list[str]:
    """What `verify --level hashes` finds in a store in any state; nothing where there is none yet."""
    if not (store / ROOT_FILE).exists():
        return []
    return [f"{problem.kind} {problem.where}: {problem.detail}" for problem in verify_hashes(store)]


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that nobody disturbed. seconds: how long its updates took."""

    recipe: TrainRecipe
    store: Path
    path: Path
    seconds: float


def uninterrupted_run(store: Path) -> TrainedRun:
    """Twenty updates of a tiny predictor, with a checkpoint after each."""
    recipe = recipe_for(
        "demo", steps=20, batch_clips=4, micro_batch_clips=4, clip_frames=4, validate_every=10,
        validation_starts=3, checkpoint_every=1, warmup_steps=1, decay_steps=1,
    )  # fmt: skip
    path = store.parent / "run"
    seconds = in_process(run_training, recipe.to_json(), store, path)
    return TrainedRun(recipe=recipe, store=store, path=path, seconds=seconds)


def run_training(recipe: dict[str, Any], store: Path, path: Path, begun: Connection) -> None:
    """What the training process does, to be killed or not."""
    torch.set_num_threads(1)
    begun.send(True)
    train(TrainRecipe.from_json(recipe), store, path, device="cpu")


def kill_training(trained: TrainedRun, rng: random.Random, tally: Tally) -> None:
    """One kill of a run: its checkpoint loads, and the same call ends in the same weights."""
    path = trained.path.with_name("killed_run")
    arguments = (trained.recipe.to_json(), trained.store, path)
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if _killed(run_training, arguments, rng.uniform(0, trained.seconds), tally):
            break
    tally.kills[TRAINING] += 1
    if (path / "checkpoint.pt").exists():
        Checkpoint.load(path / "checkpoint.pt")
    in_process(run_training, *arguments)
    ours, theirs = (Checkpoint.load(run / "checkpoint.pt") for run in (path, trained.path))
    if ours.step != theirs.step or not all(torch.equal(v, theirs.model[k]) for k, v in ours.model.items()):
        tally.found.append(f"{TRAINING}, kill {tally.kills[TRAINING]}: the weights differ")


def kill_command(world: World, expected_digest: str, rng: random.Random, tally: Tally) -> None:
    """One kill of `permafrost featurize`, alone or with its whole process group; then the same command."""
    store = world.folder / "command.zarr"
    shutil.rmtree(store, ignore_errors=True)
    command = [
        sys.executable, "-m", "pipeline.cli", "featurize", "--source", str(world.source),
        "--store", str(store), "--num-views", "2", "--workers", "2", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PREFECT_HOME": str(world.folder / "prefect"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    _await(lambda: (store / "build").exists() or process.poll() is not None)
    time.sleep(rng.uniform(0, 12))
    (os.killpg if rng.random() < 0.5 else os.kill)(process.pid, signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        tally.too_late += 1
        return kill_command(world, expected_digest, rng, tally)
    tally.kills["permafrost command"] += 1
    where = f"permafrost command, kill {tally.kills['permafrost command']}"
    tally.found += [f"{where}: {problem}" for problem in problems_of(store)]
    again = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    if again.returncode != 0:
        tally.found.append(f"{where}: the same command failed: {again.stderr.strip()[-500:]}")
    elif not json.loads(again.stdout)["sealed"] or digest(store) != expected_digest:
        tally.found.append(f"{where}: the finished store differs")
    return None


def _await(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError("the command did not begin")
        time.sleep(0.01)
