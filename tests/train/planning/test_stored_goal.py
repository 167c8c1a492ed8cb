import numpy as np
import pytest
import torch

from store_schema.layout import open_group
from store_schema.quantisation import dequantise
from store_schema.store import Store
from train.planning.search import Cem, PlanningError
from train.planning.stored_frame import FrameName, read_frames
from train.planning.stored_goal import plan_between
from train.poses import integrate_pose
from train.provenance import RunMismatchError
from train.run_folder import RunNotFoundError
from train.trainer import train
from train.view import View

CPU = torch.device("cpu")
FEW = Cem(samples=16, rounds=2, elites=4)


@pytest.fixture(scope="module")
def view(tiny_store):
    return View.of_store(Store.open(tiny_store), CPU)


@pytest.fixture(scope="module")
def run(tiny_store, tiny_recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("planned") / "run"
    train(tiny_recipe(steps=2), tiny_store, path, device="cpu")
    return path


def test_frames_are_those_that_the_arrays_hold(view, tiny_store):
    trajectory = view.split("validation")[0]
    name = FrameName(trajectory=trajectory.index, frame=5)
    first = FrameName(trajectory=view.trajectories[0].index, frame=0)
    frame, _ = read_frames(view, (name, first))
    group, address = open_group(tiny_store), trajectory.first_frame + 5
    codes, scale = (torch.from_numpy(np.asarray(group[a][address])) for a in ("latents", "token_scale"))
    statistics = Store.open(tiny_store).channel_statistics
    assert torch.equal(frame.latent_ND, dequantise(codes, scale, statistics))
    assert frame.state_A.tolist() == np.asarray(group["states"][address]).tolist()
    assert frame.trajectory == trajectory


@pytest.mark.parametrize("text", ["3", "3:", ":3", "a:1", "3:-1", "3:1:2", "3.0:1", ""])
def test_what_names_no_frame_is_refused(text):
    with pytest.raises(PlanningError, match=r"names no frame; write TRAJECTORY:FRAME"):
        FrameName.parse(text)


def test_a_frame_is_written_as_it_is_read():
    assert str(FrameName.parse("12:007")) == "12:7"


def test_frames_that_are_not_stored_are_refused_by_name(view):
    with pytest.raises(
        PlanningError, match=r"has no finished trajectory 99; it has \d+, with indices from 0"
    ):
        read_frames(view, (FrameName(trajectory=99, frame=0),))
    frames = view.trajectories[0].num_frames
    with pytest.raises(PlanningError, match=f"Trajectory 0 has frames 0 to {frames - 1}; got {frames}"):
        read_frames(view, (FrameName(trajectory=0, frame=frames),))


def test_a_plan_is_set_beside_doing_nothing_and_beside_the_recording(run, tiny_store, view):
    start, goal = FrameName.parse("0:2"), FrameName.parse("0:4")
    found = plan_between(run, tiny_store, start, goal, search=FEW, horizon=2, seed=0, device="cpu")
    here, there = read_frames(view, (start, goal))
    arrived_A = integrate_pose(here.state_A, found.recorded_change_A)
    torch.testing.assert_close(arrived_A[:3], there.state_A[:3])
    off_3 = found.actions_HA[:, :3].sum(dim=0) - (there.state_A - here.state_A)[:3]
    assert found.position_error_metres == pytest.approx(off_3.norm().item(), rel=1e-5)
    assert found.actions_HA.shape == (2, 7)
    assert found.idle_energy > 0


def test_a_plan_is_repeated_by_its_seed(run, tiny_store):
    def actions(seed):
        names = FrameName.parse("0:0"), FrameName.parse("0:1")
        return plan_between(
            run, tiny_store, *names, search=FEW, horizon=1, seed=seed, device="cpu"
        ).actions_HA

    assert torch.equal(actions(3), actions(3))
    assert not torch.equal(actions(3), actions(4))


def test_refuses_a_store_of_another_encoder(run, make_store, tmp_path):
    other = make_store(tmp_path / "other.zarr", trajectories=[(20, "train")], seed=5)
    names = FrameName.parse("0:0"), FrameName.parse("0:1")
    with pytest.raises(RunMismatchError, match="fingerprint"):
        plan_between(run, other, *names, search=FEW, horizon=1, seed=0)


def test_refuses_a_folder_without_a_run(tiny_store, tmp_path):
    names = FrameName.parse("0:0"), FrameName.parse("0:1")
    with pytest.raises(RunNotFoundError):
        plan_between(tmp_path / "none", tiny_store, *names, search=FEW, horizon=1, seed=0)
