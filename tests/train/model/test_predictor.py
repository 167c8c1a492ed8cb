import math
from dataclasses import replace

import pytest
import torch

from train.objective import normalise_latents
from train.predictor import Predictor, PredictorConfig, PredictorConfigError, PredictorInputError


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return ((got - expected).norm() / expected.norm()).item()


def random_clip(config: PredictorConfig, num_frames: int, num_clips: int = 2):
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(num_clips, num_frames, config.num_tokens, config.encoder_width, generator=generator)
    actions = torch.randn(num_clips, num_frames, 7, generator=generator)
    states = torch.randn(num_clips, num_frames, 7, generator=generator)
    return normalise_latents(latents), actions, states


def test_output_equals_the_reference_with_the_same_weights(golden, golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    output = golden_predictor(latents[:, :-1], actions, states[:, :-1])
    assert relative_error(output, golden["output"]) < 1e-6
    torch.testing.assert_close(output, golden["output"], rtol=1e-5, atol=1e-5)


def test_a_shorter_clip_gives_the_same_predictions(golden, golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    for num_frames in (1, 2, 3):
        output = golden_predictor(latents[:, :num_frames], actions[:, :num_frames], states[:, :num_frames])
        torch.testing.assert_close(output, golden["output"][:, :num_frames], rtol=1e-5, atol=1e-5)


def test_residual_head_adds_its_output_to_the_present_latent(golden_config, golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    residual = Predictor(replace(golden_config, head="residual"))
    residual.load_state_dict(golden_predictor.state_dict())
    inputs = latents[:, :-1], actions, states[:, :-1]
    torch.testing.assert_close(residual(*inputs), latents[:, :-1] + golden_predictor(*inputs))


def test_residual_head_starts_at_copying_the_last_frame(golden_config):
    config = replace(golden_config, head="residual")
    latents, actions, states = random_clip(config, 4)
    assert torch.equal(Predictor(config)(latents, actions, states), latents)


def test_the_residual_head_learns_from_its_first_step(golden_config):
    config = replace(golden_config, head="residual")
    predictor = Predictor(config)
    predictor(*random_clip(config, 3)).abs().sum().backward()
    assert predictor.predictor_proj.weight.grad.abs().max() > 0


def test_weights_depend_on_the_seed_alone(golden_config):
    first = Predictor(golden_config, seed=7).state_dict()
    torch.manual_seed(99)
    again, other = (
        Predictor(golden_config, seed=7).state_dict(),
        Predictor(golden_config, seed=8).state_dict(),
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["predictor_proj.weight"], other["predictor_proj.weight"])


def test_weights_are_drawn_as_published(golden_config):
    predictor = Predictor(replace(golden_config, width=192, depth=3, num_heads=6))
    for number, block in enumerate(predictor.predictor_blocks, start=1):
        branch_std = 0.02 / math.sqrt(2 * number)
        assert block.attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert block.attn.proj.weight.std().item() == pytest.approx(branch_std, rel=0.03)
        assert block.mlp.fc2.weight.std().item() == pytest.approx(branch_std, rel=0.03)
        assert torch.equal(block.norm1.weight, torch.ones(192))
    biases = [value for name, value in predictor.named_parameters() if name.endswith("bias")]
    assert all(torch.count_nonzero(bias) == 0 for bias in biases)


def test_only_the_unused_extrinsics_map_gets_no_gradient(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    golden_predictor(latents[:, :-1], actions, states[:, :-1]).sum().backward()
    untouched = {name for name, parameter in golden_predictor.named_parameters() if parameter.grad is None}
    assert untouched == {"extrinsics_encoder.weight", "extrinsics_encoder.bias"}


def test_a_length_first_seen_under_inference_mode_can_be_trained_on_later(golden_config):
    predictor, clip = Predictor(golden_config), random_clip(golden_config, 13)
    with torch.inference_mode():
        predictor(*clip)
    predictor(*clip).sum().backward()
    assert predictor.predictor_embed.weight.grad is not None


def test_runs_under_bfloat16_autocast(golden_predictor, golden, golden_clip):
    latents, actions, states = golden_clip
    with torch.autocast("cpu", torch.bfloat16):
        output = golden_predictor(latents[:, :-1], actions, states[:, :-1])
    assert output.dtype == torch.bfloat16
    assert relative_error(output.float(), golden["output"]) < 0.05


@pytest.mark.parametrize(
    ("latent_shape", "action_shape", "state_shape"),
    [
        ((2, 4, 5, 24), (2, 4, 7), (2, 4, 7)),
        ((2, 4, 6, 23), (2, 4, 7), (2, 4, 7)),
        ((2, 4, 6, 24), (2, 3, 7), (2, 4, 7)),
        ((2, 4, 6, 24), (2, 4, 7), (2, 5, 7)),
        ((2, 4, 6, 24), (2, 4, 6), (2, 4, 7)),
    ],
)
def test_rejects_shapes_it_was_not_built_for(golden_predictor, latent_shape, action_shape, state_shape):
    with pytest.raises(PredictorInputError, match=r"expects .*6, 24\), .* got .*one action and one state"):
        golden_predictor(torch.zeros(latent_shape), torch.zeros(action_shape), torch.zeros(state_shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth is 0; it must be positive"),
        ({"grid_width": -1}, "grid_width is -1; it must be positive"),
        ({"num_heads": 5}, "width 64 does not divide into num_heads 5; change one of them"),
        ({"num_heads": 16}, "gives heads of 4 channels; rotating time, row and column needs an even number"),
        ({"width": 66, "num_heads": 6}, "gives heads of 11 channels"),
        ({"head": "relative"}, "head is 'relative'; choose 'absolute' or 'residual'"),
    ],
)
def test_rejects_sizes_that_cannot_be_built(golden_config, changes, message):
    with pytest.raises(PredictorConfigError, match=message):
        replace(golden_config, **changes)
