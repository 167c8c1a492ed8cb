"""How each preset is trained where nothing else is asked for."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from train.presets import TrainingDefaults, find_preset
from train.recipe import TrainRecipe
from train.windows import SampleBy


@dataclass(frozen=True, kw_only=True)
class _RunDefaults:
    micro_batch_clips: int
    sample_by: SampleBy
    validate_every: int
    validation_starts: int
    checkpoint_every: int


# The public loader draws episodes; where nothing published is to be matched, every window counts the same.
_RUN_DEFAULTS = {
    "demo": _RunDefaults(
        micro_batch_clips=16,
        sample_by=SampleBy.WINDOW,
        validate_every=130,
        validation_starts=64,
        checkpoint_every=100,
    ),
    "small": _RunDefaults(
        micro_batch_clips=64,
        sample_by=SampleBy.WINDOW,
        validate_every=500,
        validation_starts=256,
        checkpoint_every=250,
    ),
    "medium": _RunDefaults(
        micro_batch_clips=16,
        sample_by=SampleBy.WINDOW,
        validate_every=500,
        validation_starts=256,
        checkpoint_every=250,
    ),
    "vjepa2-ac": _RunDefaults(
        micro_batch_clips=8,
        sample_by=SampleBy.EPISODE,
        validate_every=1_500,
        validation_starts=512,
        checkpoint_every=300,
    ),
}


def recipe_for(preset: str, **chosen: Any) -> TrainRecipe:
    """The defaults of a preset with the fields in `chosen` replaced; a value of None leaves the default.

    With `steps` chosen, the phases of the schedule keep their proportions; with `batch_clips` chosen, the
    micro-batch shrinks to what divides it. Raises RecipeError, UnknownPresetError.
    """
    training = find_preset(preset).training
    defaults = _defaults(preset, training, steps=chosen.get("steps"), batch_clips=chosen.get("batch_clips"))
    given = {name: value for name, value in chosen.items() if value is not None}
    return TrainRecipe.from_json({**defaults, **given})


def _defaults(
    preset: str, training: TrainingDefaults, *, steps: int | None, batch_clips: int | None
) -> dict[str, Any]:
    run = asdict(_RUN_DEFAULTS[preset])
    schedule = training.schedule if steps is None else training.schedule.scaled(steps)
    num_clips = batch_clips or training.batch_clips
    return {
        "preset": preset,
        "head": find_preset(preset).head,
        "steps": schedule.total_steps,
        "clip_frames": training.clip_frames,
        "rollout_steps": training.rollout_steps,
        "seed": 0,
        "hours": None,
        "subset_seed": 0,
        "lr_start": schedule.lr_start,
        "lr_peak": schedule.lr_peak,
        "lr_end": schedule.lr_end,
        "warmup_steps": schedule.warmup_steps,
        "decay_steps": schedule.decay_steps,
        "weight_decay": training.weight_decay,
        **run,
        "batch_clips": num_clips,
        "micro_batch_clips": math.gcd(num_clips, run["micro_batch_clips"]),
    }
