"""Every stage measured, one after the other, and what follows from the numbers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from featurize.sources.droid_raw import DroidRaw
from pipeline.bench.cold_reading import cold_rows
from pipeline.bench.encoding import decode_row, encode_rows
from pipeline.bench.matrix_products import MatrixProducts
from pipeline.bench.prediction import Verdict, judge
from pipeline.bench.predictor_step import PredictorStep, measure_predictor
from pipeline.bench.reading import WARM, Reading, warm_rows
from pipeline.bench.rows import Row
from pipeline.bench.training_loop import data_wait_row
from pipeline.estimation import fitting_preset
from store_schema.store import Store
from train.device import choose_device
from train.presets import LatentShape as LatentGrid
from train.presets import find_preset
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.revisions import revision_to_train_on
from train.view import View

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be measured. seconds: a row, and longer where one pass takes longer.

    source: episodes to decode; None leaves that row out. preset: None takes the first that fits the store.
    device: torch's name; None takes the GPU if there is one.
    """

    store: Path
    seconds: float
    source: Path | None = None
    preset: str | None = None
    device: str | None = None

    def ensure_known(self) -> None:
        """What needs no store, before minutes are spent on one.

        Raises UnknownPresetError, DeviceError, and SourceNotFoundError where `source` is no folder.
        """
        choose_device(self.device)
        if self.preset is not None:
            find_preset(self.preset)
        if self.source is not None:
            next(DroidRaw(self.source.absolute()).episodes(), None)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All rows, and what they were measured on."""

    store: Store
    device: torch.device
    recipe: TrainRecipe
    reading: Reading
    rows: list[Row]
    verdict: Verdict


def measure(asked: Asked, say: Say) -> Measured:
    """Measure this store on this machine; nothing is written into the store.

    say: told of each stage as it begins. Raises what `Asked.ensure_known` does, StoreError, PresetShapeError,
    SubsetError, UnsealedStoreError, and what looking at the source raises.
    """
    asked.ensure_known()
    store, device = revision_to_train_on(Store.open(asked.store), None), choose_device(asked.device)
    recipe = recipe_for(asked.preset or _fitting(store))
    reading = Reading(
        store=store,
        clip_frames=recipe.clip_frames,
        micro_batch_clips=recipe.micro_batch_clips,
        device=device,
        seconds=asked.seconds,
    )
    say("Measuring memory and warm reading.")
    warm = warm_rows(reading)
    say("Measuring disk and cold reading.")
    cold = cold_rows(reading)
    products = MatrixProducts(device)
    say("Measuring encode.")
    encode = encode_rows(store, products, asked.seconds, say)
    decode = decode_row(store, asked.source, asked.seconds, encode[0])
    view = View.of_store(store, device)
    say(f"Measuring the predictor {recipe.preset}.")
    step = measure_predictor(recipe, view, products, asked.seconds)
    say("Measuring the training loop.")
    wait = data_wait_row(recipe, view, device, asked.seconds, step)
    verdict = _verdict(recipe, reading, step, [*warm, *cold])
    rows = [*warm, *cold, decode, *products.rows, *encode, *step.rows, wait, *verdict.rows]
    return Measured(store=store, device=device, recipe=recipe, reading=reading, rows=rows, verdict=verdict)


def device_name(device: torch.device) -> str:
    """The GPU as its driver calls it, or the number of processors."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device}, {os.cpu_count()} processors"


def _fitting(store: Store) -> str:
    encoder = store.attributes.fingerprint.encoder
    grid = LatentGrid(
        grid_height=encoder.grid_height, grid_width=encoder.grid_width, encoder_width=encoder.width
    )
    return fitting_preset(grid).name


def _verdict(recipe: TrainRecipe, reading: Reading, step: PredictorStep, rows: list[Row]) -> Verdict:
    """By the last cold row where the store is larger than memory and could be measured cold, else warm."""
    (warm,) = (row for row in rows if row.what == WARM)
    feed = warm if reading.fits_memory or rows[-1].value is None else rows[-1]
    batch_bytes = recipe.batch_clips * recipe.clip_frames * reading.frame_bytes
    return judge(recipe, update_seconds=step.update_seconds, batch_bytes=batch_bytes, feed=feed)
