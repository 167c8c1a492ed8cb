"""What a run measures, as JSON lines and for TensorBoard, under the same names."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard.writer import SummaryWriter

from store_schema.atomic import naming, write_atomically
from train.run_folder import RunFolder


class Log(Protocol):
    """Where the loop writes what it measured."""

    def train(self, step: int, values: Mapping[str, float | str]) -> None:
        """What update number `step`, counted from 1, measured."""

    def validation(self, step: int, values: Mapping[str, Any]) -> None:
        """Errors by horizon after `step` updates, as `train.evaluation.Errors.to_json` gives them."""

    def sync(self) -> None:
        """Put all lines on the disk, so that no checkpoint is ahead of them."""


class NoLog:
    """For the processes of a run that do not keep its folder."""

    def train(self, _step: int, _values: Mapping[str, float | str]) -> None:
        """Nothing."""

    def validation(self, _step: int, _values: Mapping[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""


@dataclass(frozen=True, eq=False)
class MetricsLog:
    """Appends measurements; a line is complete on disk when the call returns, and safe after `sync`."""

    file: TextIOWrapper
    tensorboard: SummaryWriter

    def train(self, step: int, values: Mapping[str, float | str]) -> None:
        """What update number `step`, counted from 1, measured."""
        self._append({"kind": "train", "step": step, **values})
        self._scalars("train", step, values)

    def validation(self, step: int, values: Mapping[str, Any]) -> None:
        """Errors by horizon after `step` updates, as `train.evaluation.Errors.to_json` gives them."""
        self._append({"kind": "validation", "step": step, **values})
        for name, errors in (("l1", values["l1"]), *values["baselines"].items()):
            horizons = {f"horizon_{h}": error for h, error in zip(values["horizons"], errors, strict=True)}
            self._scalars(f"validation/{name}", step, horizons)

    def sync(self) -> None:
        """Put all lines on the disk, so that no checkpoint is ahead of them."""
        with naming(Path(self.file.name)):
            os.fsync(self.file.fileno())
        with naming(Path(self.tensorboard.log_dir)):
            self.tensorboard.flush()

    def _append(self, line: Mapping[str, Any]) -> None:
        with naming(Path(self.file.name)):
            self.file.write(json.dumps(line, allow_nan=False) + "\n")
            self.file.flush()

    def _scalars(self, group: str, step: int, values: Mapping[str, float | str]) -> None:
        with naming(Path(self.tensorboard.log_dir)):
            for name, value in values.items():
                if not isinstance(value, str):
                    self.tensorboard.add_scalar(f"{group}/{name}", value, step)


@contextmanager
def open_log(folder: RunFolder, resumed_step: int) -> Iterator[MetricsLog]:
    """Continue the log of a run from `resumed_step` updates on; what a killed run logged later is removed."""
    _forget_after(folder.metrics, resumed_step)
    writer = SummaryWriter(folder.tensorboard.as_posix(), purge_step=resumed_step + 1)
    try:
        with folder.metrics.open("a", encoding="utf-8") as file:
            yield MetricsLog(file, writer)
    finally:
        writer.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines; one that a killed run left unfinished is not a measurement."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _forget_after(path: Path, resumed_step: int) -> None:
    kept = [line for line in read_metrics(path) if _is_before(line, resumed_step)]
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())


def _is_before(line: Mapping[str, Any], resumed_step: int) -> bool:
    # A checkpoint is saved before the validation of its step, which the resumed run does again.
    last_kept = resumed_step if line["kind"] == "train" else resumed_step - 1
    return int(line["step"]) <= last_kept
