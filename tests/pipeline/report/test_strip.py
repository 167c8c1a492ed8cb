from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.report.latent_colours import LatentColours
from pipeline.report.read_run import read_run
from pipeline.report.strip import difference_colours
from store_schema.store import Store
from train.evaluation import CLIP_FRAMES, HORIZONS, open_loop_errors
from train.held_out import HeldOutClips
from train.predictor import Predictor, PredictorConfig
from train.view import View


def test_shows_held_out_windows_of_different_trajectories(strip, trained):
    held_out = Store.open(trained.store).split("validation")
    shown = [window.trajectory for window in strip.windows]
    assert sorted(t.index for t in shown) == sorted(t.index for t in held_out)
    for window in strip.windows:
        assert 0 <= window.offset <= window.trajectory.num_frames - CLIP_FRAMES


def test_thumbnails_are_those_of_the_frames_named(strip):
    for window in strip.windows:
        # Thumbnail t of a drawn trajectory has the grey value 1 + t.
        greys = window.thumbnails[:, 0, 0, 0].tolist()
        assert greys == [1 + window.offset + frame for frame in range(CLIP_FRAMES)]
    assert any(window.offset for window in strip.windows)


def test_errors_are_those_that_the_evaluation_measures(strip, trained):
    record = read_run(trained.run, trained.store, device="cpu")
    predictor = Predictor(PredictorConfig(**record.checkpoint.predictor)).eval()
    predictor.load_state_dict(record.checkpoint.model)
    clips = HeldOutClips.of(View.of_store(record.store, torch.device("cpu")), CLIP_FRAMES)
    starts = [window.trajectory.first_frame + window.offset for window in strip.windows]
    rows = [clips.start_S.tolist().index(start) for start in starts]
    (batch,) = clips.batches(len(clips))
    with torch.no_grad():
        measured = open_loop_errors(predictor, batch)
    scored = [horizon - 1 for horizon in HORIZONS]
    for row, window in zip(rows, strip.windows, strict=True):
        assert window.error.mean(axis=(1, 2))[scored] == pytest.approx(measured["l1"][row].numpy(), rel=1e-4)
        copied = measured["copy_last_frame"][row].numpy()
        assert window.copy_error.mean(axis=(1, 2))[scored] == pytest.approx(copied, rel=1e-4)


def test_encoded_and_predicted_share_one_scale_of_differences(strip):
    assert strip.error_limit == max(max(w.error.max(), w.copy_error.max()) for w in strip.windows)
    names = [row.name for row in strip.rows(strip.windows[0])]
    assert names == ["seen", "encoded", "predicted", "error of predicted", "error of frame 0 kept"]
    brightest = difference_colours(np.array([1.0]))[0].tolist()
    colours = np.concatenate([row.pictures_FHWC for w in strip.windows for row in strip.rows(w)[3:]])
    assert brightest in colours.reshape(-1, 3).tolist()


def test_predictions_without_any_error_are_drawn_dark(strip):
    still = replace(strip.windows[0], error=np.zeros((8, 2, 2)), copy_error=np.zeros((8, 2, 2)))
    row = replace(strip, windows=(still,), error_limit=0.0).rows(still)[3]
    assert (row.pictures_FHWC == difference_colours(np.zeros(1))).all()


def latents(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_colours_follow_the_directions_of_largest_variance():
    spread_D = np.array([0.1, 9.0, 0.1, 5.0, 0.1, 3.0])
    values_XD = latents(0, 5_000, 6) * spread_D
    colours = LatentColours.fit(values_XD.astype(np.float32))
    assert np.abs(colours.axes_D3).argmax(axis=0).tolist() == [1, 3, 5]
    assert colours.axes_D3[[1, 3, 5], [0, 1, 2]] == pytest.approx(1.0, abs=0.01)
    assert colours.explained_share == pytest.approx(1 - 0.03 / 115.03, abs=1e-3)


def test_equal_latents_get_equal_colours_wherever_they_are():
    fitted_XD = latents(0, 4, 9, 16, 8)
    colours = LatentColours.fit(fitted_XD)
    assert (colours(fitted_XD[2, 3]) == colours(fitted_XD)[2, 3]).all()


def test_the_same_latents_always_get_the_same_colours():
    values_XD = latents(1, 30, 8)
    assert (LatentColours.fit(values_XD)(values_XD) == LatentColours.fit(values_XD.copy())(values_XD)).all()


def test_colours_fill_the_range_and_saturate_beyond():
    values_XD = latents(2, 1_000, 3)
    colours = LatentColours.fit(values_XD)(values_XD * 100)
    assert colours.min() == 0
    assert colours.max() == 255
    assert LatentColours.fit(values_XD)(values_XD).std(axis=0).min() > 40


def test_latents_that_are_all_alike_become_one_colour():
    values_XD = np.ones((20, 8), dtype=np.float32)
    assert len(np.unique(LatentColours.fit(values_XD)(values_XD), axis=0)) == 1
