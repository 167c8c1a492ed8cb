from dataclasses import replace

import pytest
import torch

from pipeline.report.cells import neighbour_cells
from pipeline.report.neighbours import CEILING, NEAREST, NEAREST_ELSEWHERE, TRUE, find_neighbours
from store_schema.store import Store
from train.evaluation import HORIZONS
from train.measures.rollouts import Rollout, predict_rollouts
from train.opened_run import OpenedRun
from train.view import View


@pytest.fixture(scope="module")
def opened(trained) -> OpenedRun:
    return OpenedRun.open(trained.run, trained.store, device="cpu")


@pytest.fixture(scope="module")
def rollouts(opened) -> tuple[Rollout, ...]:
    return predict_rollouts(opened.predictor, opened.view, opened.device)


def found_for(trained, opened, rollouts):
    return find_neighbours(Store.open(trained.store), opened.view, rollouts)


def test_what_came_are_the_frames_at_the_horizons(look):
    for window in look.neighbours.windows:
        offsets = [neighbour.offset for neighbour in window.rows[TRUE]]
        assert offsets == [window.start + horizon for horizon in HORIZONS]
        # Thumbnail t of a drawn trajectory has the grey value 1 + t.
        assert [n.thumbnail[0, 0, 0] for n in window.rows[TRUE]] == [1 + offset for offset in offsets]


def test_a_perfect_prediction_finds_the_frame_that_came(trained, opened, rollouts):
    perfect = [replace(rolled, predicted_TND=rolled.encoded_TND[1:]) for rolled in rollouts]
    found = found_for(trained, opened, perfect)
    for window in found.windows:
        came = [(n.trajectory, n.offset) for n in window.rows[TRUE]]
        assert [(n.trajectory, n.offset) for n in window.rows[NEAREST]] == came
        assert [n.distance for n in window.rows[NEAREST]] == [0.0] * len(HORIZONS)
        # Among other trajectories it can do no better than the ceiling, and does as well.
        elsewhere = [(n.trajectory, n.offset, n.distance) for n in window.rows[NEAREST_ELSEWHERE]]
        assert elsewhere == [(n.trajectory, n.offset, n.distance) for n in window.rows[CEILING]]
    predictions = len(HORIZONS) * len(perfect)
    assert found.count() == {"all": predictions, "came": predictions, "start": 0}


def test_a_prediction_that_nothing_moves_finds_the_frame_it_started_from(trained, opened, rollouts):
    still = [
        replace(rolled, predicted_TND=rolled.encoded_TND[:1].expand_as(rolled.predicted_TND))
        for rolled in rollouts
    ]
    found = found_for(trained, opened, still)
    for window in found.windows:
        assert {n.offset for n in window.rows[NEAREST]} == {window.start}
    assert found.count()["start"] == found.count()["all"]
    assert found.count()["came"] == 0


def test_rows_keep_the_order_of_the_horizons(trained, opened, rollouts):
    # Predicts the frames in reverse, so that an order of its own would show.
    backwards = [replace(rolled, predicted_TND=rolled.encoded_TND[1:].flip(0)) for rolled in rollouts]
    for window in found_for(trained, opened, backwards).windows:
        offsets = [n.offset for n in window.rows[NEAREST]]
        assert offsets == [window.start + 9 - horizon for horizon in HORIZONS]


def test_elsewhere_is_never_the_trajectory_itself(look):
    for window in look.neighbours.windows:
        for name in (NEAREST_ELSEWHERE, CEILING):
            assert window.trajectory.index not in {n.trajectory for n in window.rows[name]}
        for near, elsewhere in zip(window.rows[NEAREST], window.rows[NEAREST_ELSEWHERE], strict=True):
            assert near.distance <= elsewhere.distance


def test_one_held_out_trajectory_has_no_rows_of_others(opened, make_store, tmp_path):
    path = make_store(tmp_path / "one.zarr", trajectories=[(12, "train"), (14, "validation")])
    store = Store.open(path)
    view = View.of_store(store, torch.device("cpu"))
    found = find_neighbours(store, view, predict_rollouts(opened.predictor, view, opened.device))
    assert [list(window.rows) for window in found.windows] == [[TRUE, NEAREST]]
    assert (found.num_candidates, found.num_held_out) == (14, 14)


def test_each_is_named_by_where_it_lies(look):
    for window in look.neighbours.windows:
        cells = {name: [cell.number for cell in row] for name, row in neighbour_cells(window)}
        assert cells[TRUE] == [f"frame {window.start + horizon}" for horizon in HORIZONS]
        expected = [f"{n.trajectory}:{n.offset}, L1 {n.distance:.3f}" for n in window.rows[CEILING]]
        assert cells[CEILING] == expected
