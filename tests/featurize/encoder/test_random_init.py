"""The embedded default: the same network on every machine, and one that sees its frame."""

import pytest
import torch

from featurize.encoder.catalogue import DEFAULT_ENCODER, encoder_spec
from featurize.encoder.load import build_vjepa2, load_encoder
from featurize.encoder.random_init import random_weights


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(DEFAULT_ENCODER)


def test_the_default_encoder_has_these_weights_on_every_machine(encoder):
    assert encoder.weights_sha256 == "551b57cd2f25e5601c19928bfd8a774cfebfdde40c3ec26b23ae91ab4bc4667c"


def test_another_seed_gives_other_weights(encoder):
    vit = build_vjepa2(encoder_spec(DEFAULT_ENCODER))
    drawn, others = random_weights(vit, seed=0), random_weights(vit, seed=1)
    assert all(not torch.equal(drawn[name], others[name]) for name in drawn if "norm" not in name)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    load_encoder(DEFAULT_ENCODER)
    assert torch.equal(before, torch.get_rng_state())


def test_a_change_in_one_patch_shows_most_in_its_own_token(encoder):
    """The predictor of the demo lives off this: what moves in the frame moves in the tokens there."""
    frames_FCHW = torch.full((2, 3, 64, 64), 90.0)
    frames_FCHW[1, :, 16:32, 32:48] = 200.0
    changed_N = encoder.encode(frames_FCHW).diff(dim=0)[0].abs().mean(dim=-1)
    own = 1 * encoder.spec.grid_width + 2
    others_N = torch.cat([changed_N[:own], changed_N[own + 1 :]])
    assert changed_N.argmax() == own
    assert changed_N[own] > 5 * others_N.max()


def test_brightness_survives_the_layer_norm(encoder):
    dark, bright = encoder.encode(torch.stack([torch.full((3, 64, 64), grey) for grey in (150.0, 220.0)]))
    assert (dark - bright).abs().mean() > 0.1
