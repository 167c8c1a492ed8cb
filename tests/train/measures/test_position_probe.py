import numpy as np
import torch

from train.clips import Clips
from train.measures.position_probe import PositionProbe

GENERATOR = torch.Generator().manual_seed(0)
MAP = torch.randn(3, 12 * 5, generator=GENERATOR)


def clips_that_show_the_position(num_clips: int) -> Clips:
    states_BTA = torch.randn(num_clips, 2, 7, generator=GENERATOR) * 0.2
    latents_BTND = (states_BTA[..., :3] @ MAP).unflatten(-1, (12, 5))
    return Clips(latents_BTND=latents_BTND, states_BTA=states_BTA, actions_BTA=torch.zeros(num_clips, 1, 7))


def errors_after_fitting(clips: Clips, shown: Clips):
    probe = PositionProbe.fit([clips], grid_height=3, grid_width=4)
    return probe.errors_metres(shown.latents_BTND[:, 0], shown.states_BTA[:, 0, :3])


def test_reads_positions_that_latents_show():
    errors = errors_after_fitting(clips_that_show_the_position(60), clips_that_show_the_position(20))
    assert errors.shape == (20,)
    assert errors.max() < 0.005


def test_cannot_read_what_latents_do_not_show():
    hidden = clips_that_show_the_position(60)
    blind = Clips(
        latents_BTND=torch.randn(60, 2, 12, 5, generator=GENERATOR),
        states_BTA=hidden.states_BTA,
        actions_BTA=hidden.actions_BTA,
    )
    errors = errors_after_fitting(blind, clips_that_show_the_position(20))
    assert np.mean(errors) > 0.2


def test_large_grids_are_averaged_to_four_by_four():
    latents_XND = torch.arange(64.0).reshape(1, 64, 1)
    probe = PositionProbe.fit(
        [Clips(latents_BTND=latents_XND[None].repeat(8, 2, 1, 1) * torch.rand(8, 2, 1, 1),
               states_BTA=torch.rand(8, 2, 7), actions_BTA=torch.zeros(8, 1, 7))],
        grid_height=8, grid_width=8,
    )  # fmt: skip
    assert probe.regression.n_features_in_ == 16
