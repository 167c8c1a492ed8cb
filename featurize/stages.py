"""Hours of each stage of a build on this machine, from rates measured on it, and which one is the slowest."""

from dataclasses import dataclass

from featurize.estimate import SECONDS_PER_HOUR, Figure, Workload, counted
from featurize.rates import Rates


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Who works. num_workers: processes, each with one thread that decodes; num_gpus: 0, a CPU encodes."""

    num_cores: int
    num_gpus: int
    num_workers: int

    @property
    def num_decoders(self) -> int:
        """Threads that decode at the same time."""
        return min(self.num_workers, self.num_cores)

    @property
    def num_encoders(self) -> int:
        """Devices that encode at the same time."""
        return self.num_gpus or self.num_decoders


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Figures to show; hours_by_stage: index, decode, encode and write. measured_on: whose episodes."""

    figures: list[Figure]
    measured_on: str
    hours_by_stage: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """The stage that takes longest."""
        return max(self.hours_by_stage, key=lambda stage: self.hours_by_stage[stage])


def predict(
    workload: Workload, bytes_to_write: float, rates: Rates, machine: Machine, measured_on: str
) -> Prediction:
    """Hours of every stage and of the whole build, training left out."""
    hours = {
        "index": _hours(workload.video_frames.value, rates.index_frames_per_second * machine.num_cores),
        "decode": _hours(workload.frames.value, rates.decode_frames_per_second * machine.num_decoders),
        "encode": _hours(workload.frames.value, rates.encode_frames_per_second * machine.num_encoders),
        "write": _hours(bytes_to_write, rates.disk.write_bytes_per_second),
    }
    figures = [*_rate_figures(rates), *_hour_figures(hours, machine), _build_figure(hours, machine)]
    return Prediction(figures=figures, hours_by_stage=hours, measured_on=measured_on)


def _hours(amount: float, amount_per_second: float) -> float:
    return amount / amount_per_second / SECONDS_PER_HOUR


def _rate_figures(rates: Rates) -> list[Figure]:
    batch = counted(rates.encode_batch_frames, "frame")
    return [
        _rate("index_frames_per_second", "index, a core", rates.index_frames_per_second, "frames/s",
              "episodes opened, videos decoded"),
        _rate("decode_frames_per_second", "decode, a worker", rates.decode_frames_per_second, "frames/s",
              "stored frames, decoded and cropped"),
        _rate("encode_frames_per_second", "encode, a device", rates.encode_frames_per_second, "frames/s",
              f"{rates.device}, drawn weights, {batch} a pass"),
        _rate("disk_write_bytes_per_second", "disk, writing", rates.disk.write_bytes_per_second, "bytes/s",
              "whole slots, synced, one writer"),
        _rate("disk_read_bytes_per_second", "disk, reading", rates.disk.read_bytes_per_second, "bytes/s",
              "clips at random, cache emptied"),
    ]  # fmt: skip


def _rate(name: str, what: str, value: float, unit: str, how: str) -> Figure:
    return Figure(name=name, what=what, value=value, unit=unit, formula=f"measured here: {how}")


def _hour_figures(hours: dict[str, float], machine: Machine) -> list[Figure]:
    encoders = "GPU" if machine.num_gpus else "worker"
    formulas = {
        "index": f"video frames / (index, a core x {counted(machine.num_cores, 'core')})",
        "decode": f"frames to store / (decode, a worker x {counted(machine.num_decoders, 'worker')})",
        "encode": f"frames to store / (encode, a device x {counted(machine.num_encoders, encoders)})",
        "write": "store / disk, writing: one writer at a time",
    }
    return [
        Figure(
            name=f"{stage}_hours_here",
            what=f"{stage} here",
            value=hours[stage],
            unit="hours",
            formula=formula,
        )
        for stage, formula in formulas.items()
    ]


def _build_figure(hours: dict[str, float], machine: Machine) -> Figure:
    """Where a CPU encodes it decodes too, one after the other; a GPU encodes while the CPU decodes."""
    if machine.num_gpus:
        busy, formula = max(hours["decode"], hours["encode"]), "index + max(decode, encode, write)"
    else:
        busy, formula = hours["decode"] + hours["encode"], "index + max(decode + encode, write)"
    value = hours["index"] + max(busy, hours["write"])
    return Figure(name="build_hours_here", what="featurize here", value=value, unit="hours", formula=formula)
