import torch

from train.clips import Clips
from train.measures.linear_dynamics import LinearDynamics, LinearFit
from train.objective import normalise_latents

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT_PD = torch.randn(6 + 7 + 7 + 1, 6, generator=GENERATOR) * 0.1


def changed(latents_BND, actions_BA, states_BA):
    condition_BC = torch.cat([actions_BA, states_BA, torch.ones(len(states_BA), 1)], dim=-1)
    rows_BNP = torch.cat([latents_BND, condition_BC[:, None].expand(-1, latents_BND.shape[1], -1)], dim=-1)
    return latents_BND + rows_BNP @ WEIGHT_PD


def drawn_clips(num_clips: int) -> Clips:
    latents_BND = torch.randn(num_clips, 4, 6, generator=GENERATOR)
    actions_BA, states_BA = torch.randn(2, num_clips, 7, generator=GENERATOR)
    later_BND = changed(latents_BND, actions_BA, states_BA)
    return Clips(
        latents_BTND=torch.stack([latents_BND, later_BND], dim=1),
        states_BTA=torch.stack([states_BA, states_BA], dim=1),
        actions_BTA=actions_BA[:, None],
    )


def fitted_on(*batches: Clips) -> LinearDynamics:
    fit = LinearFit()
    for clips in batches:
        fit.add(clips)
    return fit.fitted()


def test_finds_the_linear_map_that_made_the_changes_whatever_the_batches():
    batches = [drawn_clips(40), drawn_clips(25)]
    torch.testing.assert_close(fitted_on(*batches).weight_PD, WEIGHT_PD, rtol=0, atol=2e-3)
    whole = Clips(**{name: torch.cat([getattr(b, name) for b in batches]) for name in vars(batches[0])})
    torch.testing.assert_close(
        fitted_on(whole).weight_PD, fitted_on(*batches).weight_PD, rtol=1e-4, atol=1e-5
    )


def test_its_rollout_feeds_its_own_normalised_latents_back():
    clips = drawn_clips(3)
    linear = LinearDynamics(weight_PD=WEIGHT_PD)
    actions_BTA = torch.cat([clips.actions_BTA, torch.zeros(3, 1, 7)], dim=1)
    actions_BTA[:, :, 3:] = 0
    states_BA = clips.states_BTA[:, 0].clone()
    states_BA[:, 3:] = 0
    first_BND = normalise_latents(clips.latents_BTND[:, 0])
    predicted_BTND = linear.rollout(first_BND, states_BA, actions_BTA)
    one = normalise_latents(changed(first_BND, actions_BTA[:, 0], states_BA))
    moved_BA = states_BA.clone()
    moved_BA[:, :3] += actions_BTA[:, 0, :3]
    two = normalise_latents(changed(one, actions_BTA[:, 1], moved_BA))
    torch.testing.assert_close(predicted_BTND, torch.stack([one, two], dim=1), rtol=1e-4, atol=1e-5)
