from dataclasses import replace

import pytest
import torch

from train.objective import ClipTooShortError, Objective, normalise_latents, rollout
from train.poses import integrate_pose
from train.predictor import Predictor


@pytest.mark.parametrize("rollout_steps", [1, 2, 3])
def test_losses_equal_the_reference(golden_json, golden_predictor, golden_clip, rollout_steps):
    expected = golden_json("small_losses.json")[str(rollout_steps)]
    losses = Objective(rollout_steps=rollout_steps)(golden_predictor, *golden_clip)
    got = {name: loss.item() for name, loss in losses.items()}
    assert got == pytest.approx(expected, rel=1e-6)


def test_gradients_equal_the_reference(golden, golden_predictor, golden_clip):
    Objective(rollout_steps=2)(golden_predictor, *golden_clip)["loss"].backward()
    expected = {
        name.removeprefix("gradient."): g for name, g in golden.items() if name.startswith("gradient.")
    }
    assert len(expected) == 3
    for name, gradient in expected.items():
        got = golden_predictor.get_parameter(name).grad
        assert (got - gradient).norm() / gradient.norm() < 1e-5, name


def test_latents_are_normalised_over_channels_without_learned_parameters():
    latents = normalise_latents(torch.randn(2, 3, 4, 96) * 5 + 2)
    torch.testing.assert_close(latents.mean(-1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(latents.std(-1, correction=0), torch.ones(2, 3, 4), atol=1e-5, rtol=0)


def test_an_untrained_residual_predictor_scores_as_copying_the_last_frame(golden_config, golden_clip):
    predictor = Predictor(replace(golden_config, head="residual"))
    latents = golden_clip[0]
    losses = Objective()(predictor, *golden_clip)
    copy_last_frame = (latents[:, 1:] - latents[:, :-1]).abs().mean()
    copy_first_frame = (latents[:, 1:3] - latents[:, :1]).abs().mean()
    torch.testing.assert_close(losses["teacher_forcing_loss"], copy_last_frame, rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["rollout_loss"], copy_first_frame, rtol=1e-4, atol=0)


def test_rejects_a_clip_that_ends_before_the_rollout(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    with pytest.raises(
        ClipTooShortError, match=r"rollout of 3 steps needs clips of at least 4 frames, got 3"
    ):
        Objective(rollout_steps=3)(golden_predictor, latents[:, :3], actions[:, :2], states[:, :3])


def test_accepts_the_shortest_clip_that_holds_the_rollout(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    losses = Objective(rollout_steps=2)(golden_predictor, latents[:, :3], actions[:, :2], states[:, :3])
    assert losses["loss"].isfinite()


def test_rejects_a_rollout_of_no_steps():
    with pytest.raises(ValueError, match="rollout_steps is 0; it must be at least 1"):
        Objective(rollout_steps=0)


def test_open_loop_starts_with_the_teacher_forced_prediction(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    rolled_out = rollout(golden_predictor, latents[:, 0], states[:, 0], actions)
    first = normalise_latents(golden_predictor(latents[:, :1], actions[:, :1], states[:, :1]))
    assert rolled_out.shape == (2, 4, 6, 24)
    torch.testing.assert_close(rolled_out[:, :1], first)


def test_open_loop_feeds_back_own_latents_and_integrated_states(golden_predictor, golden_clip):
    latents, actions, states = golden_clip
    rolled_out = rollout(golden_predictor, latents[:, 0], states[:, 0], actions[:, :3])
    second_state = integrate_pose(states[:, 0], actions[:, 0])
    third_state = integrate_pose(second_state, actions[:, 1])
    integrated = torch.stack([states[:, 0], second_state, third_state], dim=1)
    fed_back = torch.cat([latents[:, :1], rolled_out[:, :2]], dim=1)
    predicted = normalise_latents(golden_predictor(fed_back, actions[:, :3], integrated))
    torch.testing.assert_close(rolled_out, predicted)


def test_predicting_twice_changes_nothing_in_the_inputs(golden_predictor, golden_clip):
    copies = [tensor.clone() for tensor in golden_clip]
    first = Objective()(golden_predictor, *golden_clip)["loss"]
    assert torch.equal(first, Objective()(golden_predictor, *golden_clip)["loss"])
    assert all(torch.equal(*pair) for pair in zip(golden_clip, copies, strict=True))
