"""Encoding once against encoding every training batch, and what training reads from a store."""

from dataclasses import dataclass
from typing import Final

from featurize.estimate import Compute, Figure, Workload, counted
from store_schema.format import LatentShape, Quantisation, array_specs

CLIP_ARRAYS: Final = ("latents", "token_scale", "states", "actions")
"""What a training clip takes out of a store."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What training asks of a store. num_steps: updates of one run, of `batch_clips` clips each."""

    preset: str
    flops_per_step: float
    batch_clips: int
    clip_frames: int
    num_steps: int
    num_runs: int
    compute: Compute

    @property
    def frames_per_step(self) -> int:
        """Frames that one update reads, and that online encoding would encode."""
        return self.batch_clips * self.clip_frames


def training_figures(
    workload: Workload,
    latent_shape: LatentShape,
    quantisation: Quantisation,
    encode_once_hours: float,
    training: TrainingPlan,
) -> list[Figure]:
    """The read rate that training needs, and encoding once against encoding every batch."""
    specs = array_specs(latent_shape, quantisation)
    frame_bytes = sum(specs[name].item_bytes for name in CLIP_ARRAYS if name in specs)
    step_seconds = training.flops_per_step / training.compute.flops_per_second
    stored, encodings = workload.frames.value, training.num_steps * training.frames_per_step
    ratio = training.num_runs * encodings / stored
    break_even = stored / training.frames_per_step
    batch = f"{training.batch_clips} clips x {training.clip_frames} frames"
    runs = counted(training.num_runs, "run")
    return [
        Figure(name="step_flops", what="predictor, one step", value=training.flops_per_step, unit="FLOP",
               formula=f"{training.preset}: {batch}, block-causal"),
        Figure(name="step_seconds", what="a training step", value=step_seconds, unit="seconds",
               formula=f"predictor, one step / {training.compute}"),
        Figure(name="training_read_bytes_per_second", what="read rate of training", unit="bytes/s",
               value=training.frames_per_step * frame_bytes / step_seconds,
               formula=f"{training.frames_per_step:,} frames x {frame_bytes:,} bytes / a training step"),
        Figure(name="online_encodings", what="frames encoded online", unit="",
               value=training.num_runs * encodings,
               formula=f"{runs} x {training.num_steps:,} steps x {batch}"),
        Figure(name="encode_online_hours", what="time to encode online", unit="hours",
               value=ratio * encode_once_hours, formula="time to encode once x online against once"),
        Figure(name="encodings_ratio", what="online against once", value=ratio, unit="times",
               formula="frames encoded online / frames to store"),
        Figure(name="break_even_steps", what="break-even", value=break_even, unit="steps",
               formula=f"frames to store / ({batch} a step)"),
        Figure(name="break_even_share", what="break-even, of one run", value=break_even / training.num_steps,
               unit="share", formula=f"break-even / {training.num_steps:,} steps"),
    ]  # fmt: skip
