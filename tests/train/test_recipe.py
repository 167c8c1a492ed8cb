import json
import math

import pytest

from train.presets import UnknownPresetError
from train.recipe import RecipeError, TrainRecipe
from train.recipe_defaults import recipe_for
from train.windows import SampleBy


def test_the_published_recipe_has_the_published_numbers():
    recipe = recipe_for("vjepa2-ac")
    assert (recipe.steps, recipe.warmup_steps, recipe.decay_steps) == (94_500, 4_500, 4_500)
    assert (recipe.lr_start, recipe.lr_peak, recipe.lr_end) == (7.5e-5, 4.25e-4, 0.0)
    assert (recipe.batch_clips, recipe.clip_frames, recipe.rollout_steps) == (256, 16, 2)
    assert (recipe.weight_decay, recipe.sample_by) == (0.04, SampleBy.EPISODE)


@pytest.mark.parametrize("preset", ["demo", "small", "medium", "vjepa2-ac"])
def test_a_recipe_survives_json(preset):
    recipe = recipe_for(preset, hours=1.5, seed=3)
    assert TrainRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_other_steps_keep_the_proportions_of_the_phases():
    recipe = recipe_for("vjepa2-ac", steps=945)
    assert (recipe.warmup_steps, recipe.decay_steps) == (45, 45)
    assert recipe.schedule.constant_steps == 855


def test_a_smaller_batch_shrinks_the_micro_batch_to_what_divides_it():
    assert recipe_for("vjepa2-ac", batch_clips=4).micro_batch_clips == 4
    assert recipe_for("vjepa2-ac", batch_clips=12).micro_batch_clips == 4
    assert recipe_for("vjepa2-ac", batch_clips=12).micro_batch_clips == 4


def test_none_leaves_the_default():
    assert recipe_for("demo", seed=None, steps=None) == recipe_for("demo")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"steps": 0}, "warmup_steps, constant_steps and decay_steps are all 0"),
        ({"validate_every": 0}, "validate_every is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"validation_starts": 1}, "validation_starts is 1; it must be at least 2"),
        ({"lr_peak": 0.0}, "lr_peak is 0.0; it must be positive"),
        ({"lr_peak": math.nan}, "lr_peak is nan; it must be positive"),
        ({"lr_end": math.nan}, "lr_end is nan; it must be at least 0"),
        ({"hours": 0.0}, "hours is 0.0; it must be positive, or left out"),
        (
            {"batch_clips": 6, "micro_batch_clips": 4},
            "batch_clips 6 is not a multiple of micro_batch_clips 4",
        ),
        ({"clip_frames": 2}, "rollout_steps 2 needs clips of 3 frames, clip_frames is 2"),
        (
            {"warmup_steps": 600, "decay_steps": 200},
            "warmup_steps 600 and decay_steps 200 do not fit into steps",
        ),
        ({"sample_by": "clip"}, "sample_by: Input should be 'window' or 'episode'"),
        ({"batchclips": 4}, "batchclips: Unexpected keyword argument"),
        ({"seed": "one"}, "seed: Input should be a valid integer"),
    ],
)
def test_names_the_field_to_change(chosen, message):
    with pytest.raises(ValueError, match=message):
        recipe_for("demo", **chosen)


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(UnknownPresetError, match="demo, small, medium, vjepa2-ac"):
        recipe_for("huge")


def test_a_file_with_a_field_missing_is_refused():
    fields = recipe_for("demo").to_json()
    del fields["seed"]
    with pytest.raises(RecipeError, match=r"not a training recipe. seed: "):
        TrainRecipe.from_json(fields)


def test_a_check_of_ours_is_told_in_its_own_words() -> None:
    with pytest.raises(RecipeError, match=r"^batch_clips is 0; it must be at least 1\.$"):
        recipe_for("demo", batch_clips=0)
