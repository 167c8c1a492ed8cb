"""An estimate put together: the source or its hours, the store, the encoder, training, and this machine."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from featurize.break_even import TrainingPlan, training_figures
from featurize.demo_data import write_demo_data
from featurize.encoder.registry import describe as describe_encoder
from featurize.encoder.registry import encoder_spec
from featurize.encoders import default_device
from featurize.estimate import (
    Compute,
    Figure,
    Workload,
    encoder_figures,
    store_bytes,
    store_figures,
)
from featurize.rates import measure_rates, random_encoder
from featurize.recipe import Build, FeaturizeRecipe
from featurize.sources.droid_raw import DroidRaw
from featurize.stages import Machine, Prediction, predict
from featurize.survey import survey
from store_schema.format import LatentShape
from train.describe import flops_per_step
from train.presets import PRESETS, Preset, find_preset
from train.presets import LatentShape as LatentGrid

DRAWN_SIZE_PX: Final = (1280, 720)
"""DROID's own."""
DRAWN: Final = f"two drawn episodes of {DRAWN_SIZE_PX[0]} x {DRAWN_SIZE_PX[1]} pixels"
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is measured. source: None draws two episodes of DROID's size instead. folder: on whose disk."""

    source: DroidRaw | None
    folder: Path
    seconds: float
    num_workers: int | None


def latent_shape_of(encoder: str) -> LatentShape:
    """What this encoder makes of a frame. Raises UnknownEncoderError, UnsupportedTimmModelError."""
    spec = encoder_spec(encoder)
    return LatentShape(num_tokens=spec.num_tokens, width=spec.width)


def training_plan(encoder: str, preset: str | None, num_runs: int, compute: Compute) -> TrainingPlan:
    """One training run of `preset`, or of the first that takes this encoder's latents: vjepa2-ac or medium.

    Raises UnknownPresetError, PresetShapeError.
    """
    spec = encoder_spec(encoder)
    grid = LatentGrid(grid_height=spec.grid_height, grid_width=spec.grid_width, encoder_width=spec.width)
    chosen = find_preset(preset) if preset is not None else fitting_preset(grid)
    return TrainingPlan(
        preset=chosen.name,
        flops_per_step=flops_per_step(chosen.config(grid), chosen.training),
        batch_clips=chosen.training.batch_clips,
        clip_frames=chosen.training.clip_frames,
        num_steps=chosen.training.schedule.total_steps,
        num_runs=num_runs,
        compute=compute,
    )


def planned_figures(
    workload: Workload, recipe: FeaturizeRecipe, compute: Compute, training: TrainingPlan
) -> list[list[Figure]]:
    """What needs no look at this machine: the store, encoding it, and training from it."""
    shape = latent_shape_of(recipe.encoder)
    flops_per_frame = describe_encoder(recipe.encoder)["flops_per_frame"]
    encoding = encoder_figures(workload, recipe.encoder, flops_per_frame, compute)
    (once_hours,) = (figure.value for figure in encoding if figure.name == "encode_once_hours")
    return [
        store_figures(workload, shape, recipe.quantisation),
        encoding,
        training_figures(workload, shape, recipe.quantisation, once_hours, training),
    ]


def predict_here(workload: Workload, recipe: FeaturizeRecipe, asked: Calibration, say: Say) -> Prediction:
    """Measure this machine, and say how long each stage of this workload takes on it.

    Everything written lies in a temporary folder inside `asked.folder`, which is removed again.
    """
    device = default_device()
    parameters = describe_encoder(recipe.encoder)["parameters"]
    say(f"Drawing weights for {recipe.encoder} on {device}: {4 * parameters / 1e9:.1f} GB of memory.")
    encoder = random_encoder(recipe.encoder, device)
    with tempfile.TemporaryDirectory(prefix="permafrost-estimate-", dir=asked.folder) as name:
        source = asked.source or _drawn_source(Path(name) / "source", say)
        build = Build(
            recipe=recipe,
            store=Path(name) / "store",
            source_root=source.root,
            episode_list=source.episode_list,
            device=device,
        )
        sampled = survey(source, recipe)
        rates = measure_rates(build, sampled, encoder, asked.seconds, say)
    to_write = store_bytes(workload, latent_shape_of(recipe.encoder), recipe.quantisation)
    return predict(workload, to_write, rates, _machine(asked), DRAWN if asked.source is None else "source")


def fitting_preset(grid: LatentGrid) -> Preset:
    """The first that takes latents of this shape: vjepa2-ac or medium."""
    return next(preset for preset in (PRESETS["vjepa2-ac"], PRESETS["medium"])
                if preset.any_latent_shape or preset.latent_shape == grid)  # fmt: skip


def disk_folder(store: Path | None) -> Path:
    """The folder that there is nearest above `store`; the working folder where no store is named."""
    start = Path.cwd() if store is None else store.absolute().parent
    return next(folder for folder in (start, *start.parents) if folder.is_dir())


def free_figure(folder: Path) -> Figure:
    """Room on the disk of `folder`."""
    return Figure(
        name="free_bytes",
        what="free on its disk",
        value=shutil.disk_usage(folder).free,
        unit="bytes",
        formula="as the file system of --store says",
    )


def _drawn_source(folder: Path, say: Say) -> DroidRaw:
    width_px, height_px = DRAWN_SIZE_PX
    say(f"No --source to decode: using {DRAWN}.")
    write_demo_data(folder, num_episodes=2, seed=0, width_px=width_px, height_px=height_px)
    return DroidRaw(folder)


def _machine(asked: Calibration) -> Machine:
    num_cores, num_gpus = os.cpu_count() or 1, torch.cuda.device_count()
    # As `pipeline.workers` starts them.
    return Machine(
        num_cores=num_cores, num_gpus=num_gpus, num_workers=asked.num_workers or num_gpus or num_cores
    )
