"""The network against the reference implementation.

The full-size key lists and the tiny checkpoints come out of `make_reference_data.py`.
"""

import json

import pytest
import torch

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.load import build_vjepa2, load_encoder
from featurize.encoder.official import read_official
from featurize.encoder.patches import TubeletEmbed, fold
from featurize.encoder.rope import still_frame_rope

LARGEST_RELATIVE_ERROR = 1e-5


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("vjepa2-vitl", 303_885_312), ("vjepa2-vith", 631_648_000), ("vjepa2-vitg", 1_012_173_952)],
)
def test_has_as_many_parameters_as_published(name, parameters):
    vit = build_vjepa2(encoder_spec(name))
    assert sum(parameter.numel() for parameter in vit.parameters()) == parameters


@pytest.mark.parametrize("checkpoint_key", ["encoder", "target_encoder"])
def test_equals_the_reference_on_a_checkpoint_laid_out_as_vitl(
    checkpoint_key, pretraining_spec, frames, reference_data, reference_latents, relative_error
):
    weights = reference_data / "pretraining.pt"
    encoder = load_encoder(pretraining_spec, weights=weights, checkpoint_key=checkpoint_key)
    expected_FND = reference_latents(f"pretraining_{checkpoint_key}")
    assert relative_error(encoder.encode(frames), expected_FND) < LARGEST_RELATIVE_ERROR


def test_equals_the_reference_on_a_checkpoint_laid_out_as_vjepa2_ac(
    action_conditioned_spec, frames, reference_data, reference_latents, relative_error
):
    weights = reference_data / "action_conditioned.pt"
    encoder = load_encoder(action_conditioned_spec, weights=weights, checkpoint_key="encoder")
    expected_FND = reference_latents("action_conditioned_encoder")
    assert relative_error(encoder.encode(frames), expected_FND) < LARGEST_RELATIVE_ERROR


@pytest.mark.parametrize("letter", ["l", "h", "g"])
def test_has_every_official_key_and_shape_at_full_size(letter, reference_data, tmp_path):
    official = json.loads((reference_data / f"vit{letter}_keys.json").read_text())
    # One stored number per tensor: expanded, it has the official shape in no space.
    tensors = {key: torch.zeros(()).expand(shape) for key, shape in official.items()}
    torch.save({"target_encoder": tensors}, tmp_path / "full.pt")
    weights = read_official(tmp_path / "full.pt", "target_encoder")
    ours = build_vjepa2(encoder_spec(f"vjepa2-vit{letter}")).state_dict()
    assert {key: tensor.shape for key, tensor in weights.tensors.items()} == {
        key: tensor.shape for key, tensor in ours.items()
    }
    assert weights.unused == ("pos_embed",)


def test_folded_patches_equal_the_tubelet_of_two_equal_frames(frames):
    torch.manual_seed(0)
    embed = TubeletEmbed(image_size_px=64, patch_size_px=16, width=32)
    images_FCHW = frames / 255 - 0.5
    folded = fold(embed)
    assert folded.proj.weight.shape == (32, 3, 16, 16)
    torch.testing.assert_close(folded(images_FCHW), embed(images_FCHW), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("head_dim", "unrotated"), [(64, 4), (80, 2), (16, 4), (22, 4), (24, 0)])
def test_rotation_leaves_time_and_the_rest_of_a_head_alone(head_dim, unrotated):
    sin_NK, cos_NK = still_frame_rope(3, 4, head_dim).chunk(2, dim=-1)
    part = (head_dim - unrotated) // 3
    assert sin_NK.shape == (12, head_dim)
    alone = torch.cat([sin_NK[:, :part], sin_NK[:, 3 * part :]], dim=1)
    assert alone.shape[1] == part + unrotated
    assert not alone.any()
    assert sin_NK[1:, part : 3 * part].any(dim=1).all()
    torch.testing.assert_close(sin_NK**2 + cos_NK**2, torch.ones(12, head_dim))


def test_rotation_angles_are_row_and_column_by_the_published_tiled_frequencies():
    sin_NK, _ = still_frame_rope(3, 4, head_dim=12).chunk(2, dim=-1)
    row, column = torch.tensor(2.0), torch.tensor(3.0)
    # Two frequencies a part, 1 and 1/100, laid out f0 f1 f0 f1.
    expected = [(row * f).sin() for f in (1, 0.01, 1, 0.01)] + [
        (column * f).sin() for f in (1, 0.01, 1, 0.01)
    ]
    torch.testing.assert_close(sin_NK[-1, 4:], torch.stack(expected))
