"""What a prediction may depend on: latents, actions and states up to its own frame, and no more."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.objective import normalise_latents, rollout
from train.predictor import Predictor, PredictorConfig

CONFIG = PredictorConfig(
    grid_height=2, grid_width=2, encoder_width=8, width=24, depth=2, num_heads=2, head="absolute"
)


def loud_predictor(head: str = "absolute") -> Predictor:
    """Weights large enough that every path through the model shows in its output."""
    predictor = Predictor(replace(CONFIG, head=head))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return predictor.requires_grad_(False)


def clip(num_frames: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, num_frames, CONFIG.num_tokens, CONFIG.encoder_width, generator=generator)
    actions = torch.randn(1, num_frames, 7, generator=generator)
    states = torch.randn(1, num_frames, 7, generator=generator)
    return [normalise_latents(latents), actions, states]


@settings(max_examples=40, deadline=None)
@given(
    head=st.sampled_from(["absolute", "residual"]),
    num_frames=st.integers(2, 6),
    changed=st.sampled_from(["latents", "actions", "states"]),
    seed=st.integers(0, 1_000),
    data=st.data(),
)
def test_nothing_after_a_frame_reaches_its_prediction(head, num_frames, changed, seed, data):
    frame = data.draw(st.integers(1, num_frames - 1), label="frame")
    predictor, inputs = loud_predictor(head), clip(num_frames, seed)
    altered = [tensor.clone() for tensor in inputs]
    altered[["latents", "actions", "states"].index(changed)][:, frame:] += 3.0
    before, after = predictor(*inputs), predictor(*altered)
    assert torch.equal(before[:, :frame], after[:, :frame])


@pytest.mark.parametrize("head", ["absolute", "residual"])
@pytest.mark.parametrize("changed", [0, 1, 2], ids=["latents", "actions", "states"])
@pytest.mark.parametrize("frame", [0, 2])
def test_a_frame_reaches_its_own_and_every_later_prediction(head, changed, frame):
    predictor, inputs = loud_predictor(head), clip(4, seed=0)
    altered = [tensor.clone() for tensor in inputs]
    altered[changed][:, frame, ..., 0] += 1.0
    difference_T = (predictor(*inputs) - predictor(*altered)).abs().amax(dim=(0, 2, 3))
    assert (difference_T > 1e-4).tolist() == [step >= frame for step in range(4)]


def test_clips_of_a_batch_do_not_mix():
    predictor, first, second = loud_predictor(), clip(3, seed=0), clip(3, seed=1)
    together = predictor(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
    torch.testing.assert_close(together[:1], predictor(*first))


@settings(max_examples=20, deadline=None)
@given(step=st.integers(1, 3), seed=st.integers(0, 1_000))
def test_open_loop_rollout_sees_no_action_before_its_time(step, seed):
    predictor, (latents, actions, states) = loud_predictor("residual"), clip(4, seed)
    altered = actions.clone()
    altered[:, step:] += 1.0
    before = rollout(predictor, latents[:, 0], states[:, 0], actions)
    after = rollout(predictor, latents[:, 0], states[:, 0], altered)
    assert torch.equal(before[:, :step], after[:, :step])
    assert not torch.equal(before[:, step], after[:, step])
