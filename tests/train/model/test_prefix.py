"""Frames computed once and kept give what computing them again gives, gradients and all."""

from dataclasses import replace

import pytest
import torch

from train.objective import Objective, normalise_latents, rollout
from train.poses import integrate_pose
from train.predictor import Predictor, PredictorConfig, PredictorInputError
from train.prefix import NO_FRAMES

from .plain import plain_forward, plain_losses, plain_rollout

CONFIG = PredictorConfig(
    grid_height=2, grid_width=3, encoder_width=16, width=48, depth=3, num_heads=2, head="residual"
)


def loud_predictor(dtype: torch.dtype = torch.float64, **changes) -> Predictor:
    """Weights large enough that every path shows in losses and gradients."""
    predictor = Predictor(replace(CONFIG, **changes))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return predictor.to(dtype)


def clip(num_frames: int, dtype: torch.dtype = torch.float64, num_clips: int = 2) -> list[torch.Tensor]:
    """Latents, actions and states of as many frames each."""
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(num_clips, num_frames, 6, 16, generator=generator, dtype=dtype)
    actions, states = torch.randn(2, num_clips, num_frames, 7, generator=generator, dtype=dtype)
    return [normalise_latents(latents), actions, states]


def part(inputs: list[torch.Tensor], first: int, last: int) -> list[torch.Tensor]:
    return [tensor[:, first:last] for tensor in inputs]


def losses_and_gradients(predictor, losses) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    predictor.zero_grad()
    losses["loss"].backward()
    gradients = {name: p.grad.clone() for name, p in predictor.named_parameters() if p.grad is not None}
    return {name: loss.item() for name, loss in losses.items()}, gradients


def both_paths(dtype: torch.dtype, rollout_steps: int, head: str = "residual", num_frames: int = 6):
    predictor, (latents, actions, states) = loud_predictor(dtype, head=head), clip(num_frames, dtype)
    batch = latents, actions[:, :-1], states
    ours = losses_and_gradients(predictor, Objective(rollout_steps=rollout_steps)(predictor, *batch))
    plain = losses_and_gradients(predictor, plain_losses(predictor, *batch, rollout_steps))
    return ours, plain


@pytest.mark.parametrize("head", ["absolute", "residual"])
@pytest.mark.parametrize("rollout_steps", [1, 2, 3, 5])
def test_losses_and_gradients_equal_those_of_computing_everything_again(head, rollout_steps):
    (losses, gradients), (plain, plain_gradients) = both_paths(torch.float64, rollout_steps, head)
    assert losses == pytest.approx(plain, rel=1e-12)
    assert gradients.keys() == plain_gradients.keys()
    for name, gradient in gradients.items():
        assert plain_gradients[name].abs().max() > 1e-6, name
        torch.testing.assert_close(gradient, plain_gradients[name], rtol=1e-10, atol=1e-12)


def relative_error(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Of all gradients as one vector: single entries of a small one say little in few bits."""
    difference = sum(((got[name] - wanted[name]) ** 2).sum() for name in wanted)
    return float((difference / sum((gradient**2).sum() for gradient in wanted.values())).sqrt())


def test_float32_differs_from_computing_again_by_its_rounding_alone():
    (losses, gradients), (plain, plain_gradients) = both_paths(torch.float32, 3)
    assert losses == pytest.approx(plain, rel=1e-5)
    assert relative_error(gradients, plain_gradients) < 1e-4


def test_bfloat16_is_as_far_from_float32_with_a_prefix_as_without():
    with torch.autocast("cpu", torch.bfloat16):
        (losses, gradients), (plain, plain_gradients) = both_paths(torch.float32, 3)
    (_, exact_gradients), _ = both_paths(torch.float32, 3)
    assert losses == pytest.approx(plain, rel=1e-2)
    rounding = relative_error(plain_gradients, exact_gradients)
    assert 1e-3 < rounding < 0.2
    assert relative_error(gradients, exact_gradients) < 1.5 * rounding


@pytest.mark.parametrize("lengths", [(1, 5), (2, 1, 3), (4, 2), (1, 1, 1, 1, 1, 1)])
def test_a_clip_in_parts_gives_the_predictions_of_the_whole(lengths):
    predictor, inputs = loud_predictor(), clip(6)
    prefix, outputs, first = None, [], 0
    for length in lengths:
        output, prefix = predictor.extend(prefix, *part(inputs, first, first + length), keep=length)
        outputs.append(output)
        first += length
    assert prefix.num_frames == 6
    torch.testing.assert_close(torch.cat(outputs, dim=1), plain_forward(predictor, *inputs))
    torch.testing.assert_close(predictor(*inputs), plain_forward(predictor, *inputs))


def test_gradients_flow_back_into_the_frames_of_the_prefix():
    predictor, inputs = loud_predictor(), clip(4)
    for tensor in inputs:
        tensor.requires_grad_()
    _, prefix = predictor.extend(None, *part(inputs, 0, 3), keep=3)
    continued, _ = predictor.extend(prefix, *part(inputs, 3, 4))
    got = torch.autograd.grad(continued.square().sum(), inputs)
    wanted = torch.autograd.grad(plain_forward(predictor, *inputs)[:, -1:].square().sum(), inputs)
    for of_prefix, of_whole in zip(got, wanted, strict=True):
        assert of_whole[:, 0].abs().max() > 1e-6
        torch.testing.assert_close(of_prefix, of_whole)


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_as_many_new_frames_are_kept_as_asked_for(keep):
    predictor, inputs = loud_predictor(), clip(6)
    _, first = predictor.extend(None, *part(inputs, 0, 2), keep=2)
    _, prefix = predictor.extend(first, *part(inputs, 2, 5), keep=keep)
    assert prefix.num_frames == 2 + keep
    assert {block.num_tokens for block in prefix.blocks} == {(2 + keep) * CONFIG.tokens_per_step}
    continued, _ = predictor.extend(prefix, *part(inputs, 2 + keep, 3 + keep))
    wanted = plain_forward(predictor, *part(inputs, 0, 3 + keep))[:, -1:]
    torch.testing.assert_close(continued, wanted)


def test_nothing_is_kept_where_nothing_is_asked_for():
    _, prefix = loud_predictor().extend(None, *clip(3))
    assert (prefix.num_frames, prefix.blocks, prefix.num_clips) == (0, (), None)


def test_one_frame_kept_of_many_does_not_hold_the_others_in_memory():
    with torch.no_grad():
        _, prefix = loud_predictor().extend(None, *clip(6), keep=1)
    for block in prefix.blocks:
        for tensor in block:
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_a_prefix_is_left_as_it_was_by_what_continues_it():
    predictor, inputs = loud_predictor(), clip(4)
    _, prefix = predictor.extend(None, *part(inputs, 0, 2), keep=2)
    before = [tensor.clone() for block in prefix.blocks for tensor in block]
    for last in (3, 4):
        predictor.extend(prefix, *part(inputs, 2, last), keep=1)
    after = [tensor for block in prefix.blocks for tensor in block]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_prefix_of_other_clips_is_refused():
    predictor = loud_predictor()
    _, prefix = predictor.extend(None, *clip(1), keep=1)
    with pytest.raises(PredictorInputError, match=r"is of 2 clips, the frames after it of 3; they must"):
        predictor.extend(prefix, *clip(1, num_clips=3))


@pytest.mark.parametrize("keep", [-1, 3])
def test_more_frames_than_there_are_cannot_be_kept(keep):
    with pytest.raises(PredictorInputError, match=f"keep is {keep}; it must be 0 to 2, the number of new"):
        loud_predictor().extend(NO_FRAMES, *clip(2), keep=keep)


def test_open_loop_equals_running_over_the_whole_context_for_every_frame():
    predictor, (latents, actions, states) = loud_predictor(), clip(6)
    got = rollout(predictor, latents[:, 0], states[:, 0], actions)
    torch.testing.assert_close(got, plain_rollout(predictor, latents[:, 0], states[:, 0], actions))


def test_a_longer_rollout_computes_only_the_tokens_it_adds():
    """Tokens through the first map, over a training step and over an open loop."""
    predictor, (latents, actions, states) = loud_predictor(), clip(6)
    frames = []
    predictor.predictor_embed.register_forward_hook(lambda _m, inputs, _o: frames.append(inputs[0].shape[1]))
    Objective(rollout_steps=4)(predictor, latents, actions[:, :-1], states)
    assert frames == [5, 1, 1, 1]
    frames.clear()
    rollout(predictor, latents[:, 0], states[:, 0], actions)
    assert frames == [1] * 6


@pytest.mark.parametrize("head", ["absolute", "residual"])
@pytest.mark.parametrize("horizon", [1, 3])
def test_a_past_shared_by_samples_gives_what_each_gives_with_its_own(head, horizon):
    """Three frames of one clip, then four samples of actions from the frame after them."""
    predictor, (latents, actions, states) = loud_predictor(head=head), clip(4, num_clips=1)
    tried = torch.randn(4, horizon, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        _, past = predictor.extend(None, *part([latents, actions, states], 0, 3), keep=3)
        ours = rollout(
            predictor,
            latents[:, 3].expand(4, -1, -1),
            states[:, 3].expand(4, -1),
            tried,
            prefix=past.shared_by(4),
        )
        for sample in range(4):
            expected = plain_continuation(predictor, latents, actions[:, :3], states, tried[sample])
            torch.testing.assert_close(ours[sample], expected, rtol=1e-10, atol=1e-12)


def plain_continuation(predictor, latents, actions, states, tried):
    for action in tried:
        actions = torch.cat([actions, action[None, None]], dim=1)
        output = plain_forward(predictor, latents, actions, states)
        latents = torch.cat([latents, normalise_latents(output)[:, -1:]], dim=1)
        states = torch.cat([states, integrate_pose(states[:, -1], action[None])[:, None]], dim=1)
    return latents[0, -len(tried) :]


def test_a_shared_past_takes_no_memory_of_its_own():
    predictor, inputs = loud_predictor(), clip(2, num_clips=1)
    with torch.no_grad():
        _, past = predictor.extend(None, *inputs, keep=2)
    shared = past.shared_by(100)
    assert shared.num_clips == 100
    assert shared.blocks[0].key_BGCH.data_ptr() == past.blocks[0].key_BGCH.data_ptr()
    assert NO_FRAMES.shared_by(100).num_clips is None
