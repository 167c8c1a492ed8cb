import numpy as np
import pytest
import torch

from train.clips import Clips
from train.measures.position_probe import PositionProbe, ProbeFit

GENERATOR = torch.Generator().manual_seed(0)
MAP = torch.randn(3, 12 * 5, generator=GENERATOR)
HORIZONS = (1, 3)


def clips_of(states_BTA: torch.Tensor, latents_BTND: torch.Tensor) -> Clips:
    return Clips(latents_BTND=latents_BTND, states_BTA=states_BTA, actions_BTA=states_BTA.diff(dim=1))


def clips_that_show_movement(num_clips: int) -> Clips:
    """Each in a scene of its own, so that one latent alone does not tell where the arm is."""
    states_BTA = torch.randn(num_clips, 4, 7, generator=GENERATOR) * 0.2
    scenes_B = torch.randn(num_clips, 1, 12, 5, generator=GENERATOR) * 5.0
    return clips_of(states_BTA, scenes_B + (states_BTA[..., :3] @ MAP).unflatten(-1, (12, 5)))


def fitted(clips: Clips) -> PositionProbe:
    fit = ProbeFit(horizons=HORIZONS, grid_height=3, grid_width=4)
    for half in range(2):
        fit.add(Clips(**{name: tensor[half::2] for name, tensor in vars(clips).items()}))
    return fit.fitted()


def errors_of(probe: PositionProbe, clips: Clips):
    """(B, H) from the encoded frames."""
    return np.stack([
        probe.errors_metres(latents_TND[list(HORIZONS)], latents_TND[0], states_TA)
        for latents_TND, states_TA in zip(clips.latents_BTND, clips.states_BTA, strict=True)
    ])  # fmt: skip


def test_reads_movements_that_latents_show_in_scenes_it_never_saw():
    errors = errors_of(fitted(clips_that_show_movement(60)), clips_that_show_movement(20))
    assert errors.shape == (20, 2)
    assert errors.max() < 0.005


def test_cannot_read_what_latents_do_not_show():
    shown = clips_that_show_movement(60)
    blind = clips_of(shown.states_BTA, torch.randn(60, 4, 12, 5, generator=GENERATOR))
    assert np.mean(errors_of(fitted(blind), clips_that_show_movement(20))) > 0.2


def test_reads_no_movement_where_nothing_changes():
    clips = clips_that_show_movement(60)
    first_ND, states_TA = clips.latents_BTND[0, 0], clips.states_BTA[0]
    errors_H = fitted(clips).errors_metres(first_ND.expand(2, -1, -1), first_ND, states_TA)
    moved_H = (states_TA[list(HORIZONS), :3] - states_TA[0, :3]).norm(dim=-1)
    assert errors_H == pytest.approx(moved_H.numpy(), rel=1e-5)


def test_large_grids_are_averaged_to_four_by_four():
    latents_BTND = torch.rand(8, 2, 64, 1, generator=GENERATOR)
    clips = clips_of(torch.rand(8, 2, 7, generator=GENERATOR), latents_BTND)
    fit = ProbeFit(horizons=(1,), grid_height=8, grid_width=8)
    fit.add(clips)
    assert fit.fitted().regressions[0].n_features_in_ == 16
