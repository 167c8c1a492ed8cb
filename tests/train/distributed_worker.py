"""One process of a run by torchrun: goes through the scenarios told, and writes down how each of them ended.

torchrun --nproc-per-node 2 distributed_worker.py STORE FOLDER SCENARIOS_JSON
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from train import trainer
from train.clips import Clips
from train.launch import ranks_of_torchrun
from train.optimiser import build_adamw
from train.recipe import TrainRecipe
from train.update import update
from train.view import View

RANK = int(os.environ["RANK"])


def spoil(clips: Clips) -> None:
    clips.latents_BTND[0, 1, 0, 0] = torch.nan


def send(number: int) -> Callable[[Clips], None]:
    return lambda _clips: os.kill(os.getpid(), number)


EVENTS = {"nan": spoil, "sigterm": send(signal.SIGTERM), "sigkill": send(signal.SIGKILL)}


@dataclass(frozen=True)
class Disturbed:
    """Clips as they come, but something happens to one micro-batch."""

    clips: Any
    event: str
    at_micro_batch: int

    @contextmanager
    def stream(self, first_frames, **sizes) -> Iterator["DisturbedStream"]:
        with self.clips.stream(first_frames, **sizes) as stream:
            yield DisturbedStream(stream, self.event, self.at_micro_batch)


class DisturbedStream:
    def __init__(self, stream, event, at_micro_batch):
        self.stream, self.event, self.left = stream, event, at_micro_batch

    @property
    def waited_seconds(self):
        return self.stream.waited_seconds

    def __iter__(self):
        return self

    def __next__(self):
        clips = next(self.stream)
        if self.left == 0:
            EVENTS[self.event](clips)
        self.left -= 1
        return clips


def train(store: Path, run: Path, recipe: dict, event: str | None = None, rank: int = 0, at: int = 0) -> dict:
    """Train; `event` happens in process `rank` as it takes its micro-batch number `at`, from 0."""
    built, told = [], []

    def view_of(opened, device):
        view = View.of_store(opened, device)
        if event is None or rank != RANK:
            return view
        return replace(view, clips=Disturbed(view.clips, event, at))

    def remembered(*arguments, **named):
        built.append(make_predictor(*arguments, **named))
        return built[-1]

    make_predictor, trainer.Predictor = trainer.Predictor, remembered
    try:
        result = trainer.train(TrainRecipe.from_json(recipe), store, run, device="cpu", view_of=view_of,
                               on_progress=lambda progress: told.append(asdict(progress)))  # fmt: skip
        ended = {"step": result.step, "evaluation": result.evaluation}
    except Exception as error:  # noqa: BLE001 - the test reads which it was
        ended = {"error": type(error).__name__, "message": str(error)}
    finally:
        trainer.Predictor = make_predictor
    return {**ended, "weights": [sha256(predictor) for predictor in built], "told": len(told)}


def sha256(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for value in module.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def count_exchanges() -> dict:
    """How often gradients are exchanged in one update of three micro-batches, and whether they agree then."""
    exchanges, line = [], torch.nn.Linear(1, 1)
    with ranks_of_torchrun("cpu") as ranks:
        synchronised = ranks.synchronised(Loss(line))

        def counted(group, bucket):
            exchanges.append(bucket.index())
            return allreduce_hook(group, bucket)

        synchronised.register_comm_hook(None, counted)
        numbers = iter([torch.full((1,), float(i + RANK)) for i in range(3)])
        result = update(
            line, build_adamw(line), synchronised, numbers, micro_batches=3, step=0, learning_rate=0.0,
            ranks=ranks,
        )  # fmt: skip
    return {"exchanges": len(exchanges), "loss": result.losses["loss"], "gradient": line.weight.grad.item()}


class Loss(torch.nn.Module):
    """Of a batch x: w x + b, whose gradient by w is x."""

    def __init__(self, line):
        super().__init__()
        self.line = line

    def forward(self, x):
        return {"loss": self.line(x).sum()}


def main(store: Path, folder: Path, scenarios: dict[str, dict]) -> None:
    for name, scenario in scenarios.items():
        if name == "exchanges":
            ended = count_exchanges()
        else:
            ended = train(store, folder / scenario.pop("run"), **scenario)
        (folder / f"{name}-{RANK}.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    torch.set_num_threads(1)
    # torchrun ends all when one has died; what is left still has to write down how its scenario ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # One group for all scenarios; where it is lost, the process ends as that of a user does.
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
