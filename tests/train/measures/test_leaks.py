"""Leaks planted on purpose, and the check that `evaluate` makes of every run before it measures anything."""

import pytest
import torch
from torch.nn import functional as F

from store_schema.store import Store
from train import attention, evaluation
from train.assembly import predictor_config
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.measures import assess_run as assessing
from train.measures.leaks import LeakError, ensure_no_leak
from train.objective import normalise_latents, rollout
from train.planning.search import Cem
from train.poses import integrate_pose
from train.predictor import Predictor
from train.trainer import train
from train.view import View

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def view(tiny_store):
    return View.of_store(Store.open(tiny_store), CPU)


@pytest.fixture
def clips(view):
    return next(iter(HeldOutClips.of(view, CLIP_FRAMES).batches(3)))


@pytest.fixture
def predictor(view, tiny_recipe):
    """An untrained one's last map is zero, and nothing would show."""
    predictor = Predictor(predictor_config(tiny_recipe(), view))
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(predictor.predictor_proj.weight, std=0.2, generator=generator)
    return predictor.eval()


def attend_to_the_next_step_too(query, key, value, tokens_per_step):
    """The mask off by one: every step sees the one after it as well."""
    mixed = []
    for step, query_step in enumerate(torch.split(query, tokens_per_step, dim=2)):
        seen = (step + 2) * tokens_per_step
        mixed.append(F.scaled_dot_product_attention(query_step, key[:, :, :seen], value[:, :, :seen]))
    return torch.cat(mixed, dim=2)


def errors_with_recorded_states(predictor, clips):
    """Open loop, but for the states: those that were recorded tell every action that led to them."""
    latents = clips.latents_BTND[:, :1]
    for step in range(1, CLIP_FRAMES):
        output = predictor(latents, clips.actions_BTA[:, :step], clips.states_BTA[:, :step])
        latents = torch.cat([latents, normalise_latents(output)[:, -1:]], dim=1)
    off_BT = (latents[:, 1:] - clips.latents_BTND[:, 1:]).abs().mean(dim=(2, 3))
    return {"l1": off_BT[:-1, [horizon - 1 for horizon in evaluation.HORIZONS]]}


def errors_with_recorded_latents(predictor, clips):
    """Teacher forcing sold as open loop."""
    output = predictor(clips.latents_BTND[:, :-1], clips.actions_BTA, clips.states_BTA[:, :-1])
    off_BT = (normalise_latents(output) - clips.latents_BTND[:, 1:]).abs().mean(dim=(2, 3))
    return {"l1": off_BT[:-1, [horizon - 1 for horizon in evaluation.HORIZONS]]}


def test_an_honest_predictor_passes(predictor, clips):
    ensure_no_leak(predictor, clips)


def test_a_mask_that_is_off_by_one_is_caught(predictor, clips, monkeypatch):
    monkeypatch.setattr(attention, "_attend_step_by_step", attend_to_the_next_step_too)
    with pytest.raises(LeakError, match=r"move with the latents of later ones \(a future leak\)"):
        ensure_no_leak(predictor, clips)


def test_a_predictor_that_is_shown_the_next_frame_is_caught(predictor, clips):
    class Peeking(Predictor):
        def forward(self, latents_BTND, actions_BTA, states_BTA):
            return super().forward(latents_BTND.roll(-1, dims=1), actions_BTA, states_BTA)

    peeking = Peeking(predictor.config)
    peeking.load_state_dict(predictor.state_dict())
    with pytest.raises(LeakError, match="a future leak"):
        ensure_no_leak(peeking, clips)


def test_recorded_states_in_the_open_loop_are_caught(predictor, clips, monkeypatch):
    monkeypatch.setattr(evaluation, "open_loop_errors", errors_with_recorded_states)
    with pytest.raises(LeakError, match=r"move with states recorded after the first frame \(an action leak"):
        ensure_no_leak(predictor, clips)


def test_recorded_latents_in_the_open_loop_are_caught(predictor, clips, monkeypatch):
    monkeypatch.setattr(evaluation, "open_loop_errors", errors_with_recorded_latents)
    with pytest.raises(LeakError, match="move with latents recorded after the first frame"):
        ensure_no_leak(predictor, clips)


def test_evaluate_measures_nothing_where_something_leaks(tiny_store, tiny_recipe, tmp_path, monkeypatch):
    train(tiny_recipe(), tiny_store, tmp_path / "run", device="cpu")
    before = (tmp_path / "run" / "evaluation.json").read_bytes()
    monkeypatch.setattr(evaluation, "open_loop_errors", errors_with_recorded_states)
    with pytest.raises(LeakError, match="Numbers measured this way would be too good"):
        assessing.assess_run(tmp_path / "run", tiny_store, search=Cem(samples=10, rounds=1), num_starts=2)
    assert (tmp_path / "run" / "evaluation.json").read_bytes() == before


def test_the_planted_open_loop_is_right_but_for_its_states(predictor, clips):
    """Given the states that integrating gives, it is the honest one: states alone are what it leaks."""
    states = [clips.states_BTA[:, 0]]
    honest = rollout(predictor, clips.latents_BTND[:, 0], states[0], clips.actions_BTA)
    for action_BA in clips.actions_BTA.unbind(1):
        states.append(integrate_pose(states[-1], action_BA))
    integrated = type(clips)(
        latents_BTND=clips.latents_BTND, states_BTA=torch.stack(states, dim=1), actions_BTA=clips.actions_BTA
    )
    off_BT = (honest - clips.latents_BTND[:, 1:]).abs().mean(dim=(2, 3))[:-1]
    expected = off_BT[:, [horizon - 1 for horizon in evaluation.HORIZONS]]
    torch.testing.assert_close(errors_with_recorded_states(predictor, integrated)["l1"], expected)
