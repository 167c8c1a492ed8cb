"""`permafrost describe` for encoders, and the names there are."""

import json

import pytest

from featurize.encoder.catalogue import encoder_names, encoder_spec
from featurize.encoder.describe import describe
from featurize.encoder.errors import UnknownEncoderError


def test_vit_giant_costs_half_a_teraflop_a_frame():
    facts = describe("vjepa2-vitg")
    tokens, width, mlp, depth = 256, 1408, 6144, 40
    block = 8 * tokens * width**2 + 4 * tokens * width * mlp + 4 * tokens**2 * width
    assert facts["flops_per_frame"] == 2 * tokens * width * 3 * 16**2 + depth * block == 532_055_851_008
    assert facts["parameters"] == 1_012_173_952


@pytest.mark.parametrize("name", ["vit-tiny-random", "vjepa2-vitl", "timm:test_vit"])
def test_describes_every_encoder_in_json(name):
    facts = json.loads(json.dumps(describe(name)))
    spec = encoder_spec(name)
    assert facts["name"] == name
    assert facts["shapes"] == {
        "frames": ["F", 3, spec.image_size_px, spec.image_size_px],
        "latents": ["F", spec.num_tokens, spec.width],
    }
    assert facts["flops_per_frame"] > 2 * spec.num_tokens * spec.width


def test_an_unknown_name_is_answered_with_what_exists():
    expected = r"no encoder 'vjepa2-vitlarge'\. Did you mean 'vjepa2-vitl'\? Choose one of vit-tiny-random, "
    with pytest.raises(UnknownEncoderError, match=expected):
        encoder_spec("vjepa2-vitlarge")


@pytest.mark.parametrize("name", encoder_names()[1:])
def test_published_encoders_give_16_by_16_tokens_of_256_pixels(name):
    spec = encoder_spec(name)
    assert (spec.image_size_px, spec.grid_height, spec.grid_width, spec.num_tokens) == (256, 16, 16, 256)
