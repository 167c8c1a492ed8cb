"""The recipe of a run: every choice that decides its losses, resolved before the first step."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from train.predictor import Head
from train.presets import find_preset
from train.schedule import WarmupConstantDecay
from train.windows import SampleBy


class RecipeError(ValueError):
    """A recipe contradicts itself; the message names the field to change."""


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """What `train.recipe_defaults.recipe_for` resolves a preset and its overrides to.

    batch_clips: clips of one update, over all processes. micro_batch_clips: clips on a device at once; a run
    may change it on its way, for it decides nothing but the order of sums.
    hours: hours of recording to train on, None for all. lr_*, *_steps: the schedule's three phases; the
    constant one takes what warm-up and decay leave of `steps`.
    validation_starts: held-out starts scored during the run; its end scores all of them.
    init_sha256: of the file that the weights start from, None for a random start.

    Raises RecipeError, UnknownPresetError.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    preset: str
    head: Head
    steps: int
    batch_clips: int
    micro_batch_clips: int
    clip_frames: int
    rollout_steps: int
    sample_by: SampleBy
    seed: int
    hours: float | None
    subset_seed: int
    lr_start: float
    lr_peak: float
    lr_end: float
    warmup_steps: int
    decay_steps: int
    weight_decay: float
    validate_every: int
    validation_starts: int
    checkpoint_every: int
    init_sha256: str | None = None

    def __post_init__(self) -> None:
        find_preset(self.preset)
        _ensure_ranges(self)
        _ensure_divisible(self)
        _ensure_clip_holds_rollout(self)
        _ensure_phases_fit(self)

    @property
    def schedule(self) -> WarmupConstantDecay:
        """Learning rate of every update."""
        return WarmupConstantDecay(
            lr_start=self.lr_start,
            lr_peak=self.lr_peak,
            lr_end=self.lr_end,
            warmup_steps=self.warmup_steps,
            constant_steps=self.steps - self.warmup_steps - self.decay_steps,
            decay_steps=self.decay_steps,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` turns back into an equal recipe."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrainRecipe":
        """The recipe of a file. Raises RecipeError naming every missing, unknown or wrong field."""
        try:
            return TypeAdapter(cls).validate_python(dict(fields))
        except ValidationError as error:
            raise RecipeError(_what_is_wrong(error)) from error


def _what_is_wrong(error: ValidationError) -> str:
    """Our own sentence where a check of ours failed, else each field with what pydantic says of it."""
    details = error.errors()
    ours = [str(detail["ctx"]["error"]) for detail in details if detail["type"] == "value_error"]
    fields = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
    return " ".join(ours) or f"This is not a training recipe. {fields}."


_AT_LEAST = {
    "steps": 1,
    "batch_clips": 1,
    "micro_batch_clips": 1,
    "clip_frames": 2,
    "rollout_steps": 1,
    "seed": 0,
    "warmup_steps": 0,
    "decay_steps": 0,
    "lr_start": 0,
    "lr_end": 0,
    "weight_decay": 0,
    "validate_every": 1,
    "validation_starts": 2,
    "checkpoint_every": 1,
}


def _ensure_ranges(recipe: TrainRecipe) -> None:
    for name, least in _AT_LEAST.items():
        if not getattr(recipe, name) >= least:
            raise RecipeError(f"{name} is {getattr(recipe, name)}; it must be at least {least}.")
    if not 0 < recipe.lr_peak < math.inf:
        raise RecipeError(f"lr_peak is {recipe.lr_peak}; it must be positive and finite.")
    if recipe.hours is not None and not 0 < recipe.hours < math.inf:
        raise RecipeError(
            f"hours is {recipe.hours}; it must be positive, or left out to train on everything."
        )


def _ensure_divisible(recipe: TrainRecipe) -> None:
    if recipe.batch_clips % recipe.micro_batch_clips:
        raise RecipeError(
            f"batch_clips {recipe.batch_clips} is not a multiple of micro_batch_clips "
            f"{recipe.micro_batch_clips}; change micro_batch_clips to one of its divisors."
        )


def _ensure_clip_holds_rollout(recipe: TrainRecipe) -> None:
    if recipe.rollout_steps >= recipe.clip_frames:
        raise RecipeError(
            f"rollout_steps {recipe.rollout_steps} needs clips of {recipe.rollout_steps + 1} frames, "
            f"clip_frames is {recipe.clip_frames}; raise clip_frames or lower rollout_steps."
        )


def _ensure_phases_fit(recipe: TrainRecipe) -> None:
    if recipe.warmup_steps + recipe.decay_steps > recipe.steps:
        raise RecipeError(
            f"warmup_steps {recipe.warmup_steps} and decay_steps {recipe.decay_steps} do not fit into steps "
            f"{recipe.steps}; lower one of them."
        )
