from dataclasses import replace

import pytest
import torch

from store_schema.store import Store
from train.assembly import predictor_config
from train.checkpoint import Checkpoint
from train.objective import normalise_latents, rollout
from train.planning.bounds import ActionBounds
from train.planning.history import History
from train.planning.planner import Planner, step_seconds_of
from train.planning.search import Cem, Mppi, PlanningError
from train.poses import integrate_pose
from train.predictor import Predictor
from train.trainer import train
from train.view import View

CPU = torch.device("cpu")
BOUNDS = ActionBounds(xyz_metres=0.05, gripper=0.5)
FEW = Cem(samples=24, rounds=3, elites=4)


@pytest.fixture(scope="module")
def predictor(tiny_store, tiny_recipe):
    """Untrained, but its output depends on the actions: the residual head would start at zero."""
    predictor = Predictor(predictor_config(tiny_recipe(), View.of_store(Store.open(tiny_store), CPU)))
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(predictor.predictor_proj.weight, std=0.2, generator=generator)
    return predictor.eval()


@pytest.fixture
def scene(predictor):
    """A latent, a state, and the goal that is seen after a known action."""
    config, generator = predictor.config, torch.Generator().manual_seed(1)
    latent_ND = torch.randn(config.num_tokens, config.encoder_width, generator=generator)
    latent_ND = torch.nn.functional.layer_norm(latent_ND, latent_ND.shape[-1:])
    state_A = torch.tensor([0.4, 0.1, 0.3, 0.0, 0.2, 0.1, 0.5])
    action_A = torch.tensor([0.04, -0.03, 0.02, 0.0, 0.0, 0.0, 0.3])
    with torch.no_grad():
        goal_ND = rollout(predictor, latent_ND[None], state_A[None], action_A[None, None])[0, -1]
    return latent_ND, state_A, goal_ND, action_A


def planner_of(predictor, **options) -> Planner:
    return Planner(**({"predictor": predictor, "device": CPU, "bounds": BOUNDS, "search": FEW} | options))


def test_the_true_action_has_no_energy_and_others_have_some(predictor, scene):
    latent_ND, state_A, goal_ND, action_A = scene
    actions_SHA = torch.stack([action_A, torch.zeros(7), -action_A])[:, None]
    energies = planner_of(predictor).energies(latent_ND, state_A, goal_ND, actions_SHA)
    assert energies[0] < 1e-6
    assert energies[1:].min() > 1e-4


@pytest.mark.parametrize("search", [Cem(samples=100, rounds=8), Mppi(samples=200, rounds=8)])
def test_plans_an_action_that_sees_the_goal(predictor, scene, search):
    latent_ND, state_A, goal_ND, _ = scene
    planner = planner_of(predictor, search=search)
    action_A = planner.act(latent_ND, state_A, goal_ND)
    tried_SHA = torch.stack([action_A, torch.zeros(7)])[:, None]
    planned, idle = planner.energies(latent_ND, state_A, goal_ND, tried_SHA)
    assert planned < 0.3 * idle


def test_the_plan_is_as_long_as_the_horizon_and_its_first_action_is_taken(predictor, scene):
    latent_ND, state_A, goal_ND, _ = scene
    planner = planner_of(predictor, horizon=3)
    plan = planner.plan(latent_ND, state_A, goal_ND, seed=4)
    assert plan.actions_HA.shape == (3, 7)
    assert torch.equal(planner.act(latent_ND, state_A, goal_ND, seed=4), plan.actions_HA[0])


def test_energies_do_not_depend_on_how_many_samples_are_predicted_at_once(predictor, scene):
    latent_ND, state_A, goal_ND, _ = scene
    actions_SHA = BOUNDS.clip(torch.randn(7, 2, 7, generator=torch.Generator().manual_seed(3)) * 0.05)
    at_once, in_parts = (
        planner_of(predictor, batch_samples=size).energies(latent_ND, state_A, goal_ND, actions_SHA)
        for size in (64, 3)
    )
    torch.testing.assert_close(at_once, in_parts, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_is_planned_with_as_it_was_trained(tiny_store, tiny_recipe, tmp_path, scene):
    latent_ND, state_A, goal_ND, _ = scene
    train(tiny_recipe(steps=2), tiny_store, tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "checkpoint.pt"
    planner = Planner.of_checkpoint(path, search=FEW, device="cpu")
    weights = Checkpoint.load(path).model
    assert all(torch.equal(value, weights[name]) for name, value in planner.predictor.state_dict().items())
    assert planner.bounds == ActionBounds.published(0.25)
    assert planner.act(latent_ND, state_A, goal_ND).shape == (7,)


def test_a_step_of_the_nominal_clock_takes_a_second():
    def checkpoint(clock: str) -> Checkpoint:
        return Checkpoint(
            step=0, model={}, optimiser={}, recipe={}, predictor={}, code_version="", library_versions={},
            trained_on={"clock": clock, "frame_rate_hz": 4.0},
        )  # fmt: skip

    assert step_seconds_of(checkpoint("physical")) == 0.25
    assert step_seconds_of(checkpoint("mp4_nominal")) == 1.0


def test_refuses_latents_of_another_encoder(predictor, scene):
    latent_ND, state_A, goal_ND, _ = scene
    with pytest.raises(PlanningError, match=r"of shapes .*; got .*Encode both pictures"):
        planner_of(predictor).act(latent_ND[:-1], state_A, goal_ND)


@pytest.mark.parametrize("name", ["horizon", "batch_samples"])
def test_refuses_to_plan_nothing(predictor, name):
    with pytest.raises(PlanningError, match=f"{name} is 0; it must be at least 1"):
        planner_of(predictor, **{name: 0})


@pytest.fixture
def history(predictor):
    """Three frames before the scene's, with large enough actions to matter."""
    config, generator = predictor.config, torch.Generator().manual_seed(7)
    latents_CND = torch.randn(3, config.num_tokens, config.encoder_width, generator=generator)
    states_CA, actions_CA = (0.3 * torch.randn(3, 7, generator=generator) for _ in range(2))
    return History(latents_CND=normalise_latents(latents_CND), states_CA=states_CA, actions_CA=actions_CA)


@pytest.mark.parametrize("horizon", [1, 2])
def test_energies_after_a_history_are_those_of_predicting_it_all_again(predictor, scene, history, horizon):
    latent_ND, state_A, goal_ND, _ = scene
    actions_SHA = BOUNDS.clip(torch.randn(5, horizon, 7, generator=torch.Generator().manual_seed(3)) * 0.05)
    planner = planner_of(predictor, batch_samples=2)
    prefix = planner.remember(history)
    energies = planner.energies(latent_ND, state_A, goal_ND, actions_SHA, prefix=prefix)
    for actions_HA, energy in zip(actions_SHA, energies, strict=True):
        latents = torch.cat([history.latents_CND, latent_ND[None]])[None]
        states = torch.cat([history.states_CA, state_A[None]])[None]
        for step in range(horizon):
            actions = torch.cat([history.actions_CA, actions_HA[: step + 1]])[None]
            with torch.no_grad():
                output = predictor(latents, actions, states)[:, -1:]
            latents = torch.cat([latents, normalise_latents(output)], dim=1)
            after = integrate_pose(states[:, -1], actions[:, -1])
            states = torch.cat([states, after[:, None]], dim=1)
        torch.testing.assert_close(energy, (latents[0, -1] - goal_ND).abs().mean(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(energies, planner.energies(latent_ND, state_A, goal_ND, actions_SHA), rtol=1e-3)


def test_a_plan_looks_back_at_the_history(predictor, scene, history):
    latent_ND, state_A, goal_ND, _ = scene
    planner = planner_of(predictor)
    with_it, again, without = (
        planner.act(latent_ND, state_A, goal_ND, history=past) for past in (history, history, None)
    )
    assert torch.equal(with_it, again)
    assert not torch.equal(with_it, without)


@pytest.mark.parametrize("name", ["latents_CND", "states_CA", "actions_CA"])
def test_refuses_a_history_of_other_lengths(predictor, scene, history, name):
    latent_ND, state_A, goal_ND, _ = scene
    short = replace(history, **{name: getattr(history, name)[:-1]})
    with pytest.raises(PlanningError, match=r"A history of \d frames has .*; got .*Leave it out"):
        planner_of(predictor).act(latent_ND, state_A, goal_ND, history=short)


def test_refuses_a_history_of_no_frames(predictor, scene, history):
    latent_ND, state_A, goal_ND, _ = scene
    names = ("latents_CND", "states_CA", "actions_CA")
    empty = History(**{name: getattr(history, name)[:0] for name in names})
    with pytest.raises(PlanningError, match="at least one frame"):
        planner_of(predictor).act(latent_ND, state_A, goal_ND, history=empty)
