import pytest
import torch

from train.predictor import Predictor
from train.presets import PRESETS, PresetShapeError, UnknownPresetError, find_preset, preset
from train.schedule import PUBLISHED_SCHEDULE


def test_the_published_preset_is_the_published_predictor():
    config = preset("vjepa2-ac", 16, 16, 1408)
    assert (config.width, config.depth, config.num_heads, config.mlp_ratio) == (1024, 24, 16, 4.0)
    assert config.head == "absolute"
    training = find_preset("vjepa2-ac").training
    assert training.schedule == PUBLISHED_SCHEDULE
    assert (training.batch_clips, training.clip_frames, training.rollout_steps) == (256, 16, 2)


@pytest.mark.parametrize("shape", [(14, 14, 1408), (16, 16, 1024), (4, 4, 96)])
def test_the_published_preset_refuses_other_latents(shape):
    message = (
        rf"'vjepa2-ac' is built for 16 x 16 tokens of width 1408, the store holds {shape[0]} x {shape[1]} "
    )
    with pytest.raises(PresetShapeError, match=message + r".*Use a store encoded with vjepa2-vitg"):
        preset("vjepa2-ac", *shape)


@pytest.mark.parametrize("name", ["demo", "small", "medium"])
@pytest.mark.parametrize("shape", [(4, 4, 96), (16, 16, 1408), (14, 7, 384)])
def test_the_small_presets_take_the_shape_of_the_store(name, shape):
    config = preset(name, *shape)
    assert (config.grid_height, config.grid_width, config.encoder_width) == shape
    assert config.head == "residual"
    with torch.device("meta"):
        Predictor(config)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(
        UnknownPresetError, match="no predictor preset 'large'; choose one of demo, small, medium, vjepa2-ac"
    ):
        preset("large", 4, 4, 96)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_trains_on_clips_longer_than_its_rollout(name):
    training = find_preset(name).training
    assert training.clip_frames > training.rollout_steps
    assert training.schedule.total_steps > 0
