import numpy as np
import pytest
import torch

from store_schema.store import Store
from train.measures import nearest_frames as module
from train.measures.nearest_frames import NO_TRAJECTORY, held_out_candidates, nearest_frames
from train.view import View

LENGTHS = [(12, "train"), (40, "validation"), (15, "validation"), (12, "validation")]


@pytest.fixture(scope="module")
def view(make_store, tmp_path_factory) -> View:
    store = make_store(tmp_path_factory.mktemp("nearest") / "store.zarr", trajectories=LENGTHS)
    return View.of_store(Store.open(store), torch.device("cpu"))


def latents_at(view: View, addresses) -> torch.Tensor:
    with view.clips.stream(iter([np.array(addresses)]), clip_frames=1, max_clips=len(addresses)) as stream:
        return next(stream).latents_BTND[:, 0]


def unbarred(number: int):
    return np.full(number, NO_TRAJECTORY)


def test_candidates_are_held_out_frames_and_all_of_them_where_there_is_room(view):
    candidates = held_out_candidates(view, [])
    held_out = view.split("validation")
    expected = [(t.first_frame + n, t.index) for t in held_out for n in range(t.num_frames)]
    assert list(zip(candidates.address_C, candidates.trajectory_C, strict=True)) == expected


@pytest.mark.parametrize(("limit", "expected"), [(30, 30), (15, 15), (3, 15)])
def test_whole_trajectories_stay_whole_and_others_fill_the_rest(view, limit, expected):
    trajectory = view.split("validation")[1]
    candidates = held_out_candidates(view, [trajectory.index], limit=limit)
    assert len(candidates) == expected
    assert int((candidates.trajectory_C == trajectory.index).sum()) == trajectory.num_frames
    assert (np.diff(candidates.address_C) > 0).all()
    again = held_out_candidates(view, [trajectory.index], limit=limit)
    assert (again.address_C == candidates.address_C).all()


def test_a_stored_frame_is_nearest_to_itself(view):
    candidates = held_out_candidates(view, [])
    asked = candidates.address_C[[50, 0, 66, 33]]
    found = nearest_frames(view, latents_at(view, asked), unbarred(4), candidates)
    assert found.address_Q.tolist() == asked.tolist()
    assert found.distance_Q.tolist() == [0.0] * 4


@pytest.mark.parametrize("batch_frames", [5, 32, 1000])
def test_the_nearest_is_the_one_with_the_least_mean_difference(view, batch_frames, monkeypatch):
    monkeypatch.setattr(module, "BATCH_FRAMES", batch_frames)
    candidates = held_out_candidates(view, [])
    all_CND = latents_at(view, candidates.address_C)
    queries_QND = torch.randn(6, *all_CND.shape[1:], generator=torch.Generator().manual_seed(0))
    barred_Q = np.array([NO_TRAJECTORY, 1, 2, 3, 1, NO_TRAJECTORY])
    expected_QC = (queries_QND[:, None] - all_CND).abs().mean((2, 3)).numpy()
    expected_QC[barred_Q[:, None] == candidates.trajectory_C] = np.inf
    found = nearest_frames(view, queries_QND, barred_Q, candidates)
    assert found.address_Q.tolist() == candidates.address_C[expected_QC.argmin(axis=1)].tolist()
    assert found.distance_Q == pytest.approx(expected_QC.min(axis=1), rel=1e-5)
    assert (found.trajectory_Q != barred_Q).all()


def test_nothing_allowed_is_infinitely_far(view):
    candidates = held_out_candidates(view, [1], limit=40)
    found = nearest_frames(view, latents_at(view, candidates.address_C[:1]), np.array([1]), candidates)
    assert found.distance_Q.tolist() == [np.inf]
