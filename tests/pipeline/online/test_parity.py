"""The parity of the whole idea: training from a store is training with the encoder in the loop.

Both see the same windows of the same crops; what is left between them is what storing rounds off.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.trainer import train
from train.view import View
from train.windows import SampleBy

from .conftest import CPU, losses_of

# Relative L1 of a latent; seen: 0.00017 and 0.0038.
LATENT_TOLERANCE = {"float16": 0.0005, "int8": 0.01}
# Relative, of the loss of every update and of the errors at the end; seen: 0.0002 and 0.0009.
LOSS_TOLERANCE = {"float16": 0.002, "int8": 0.01}
KINDS = ["float16", "int8"]


@pytest.fixture(scope="session")
def finished(float16_store, store_states):
    """A sealed store of each quantisation."""
    return {"float16": float16_store, "int8": store_states["sealed"]}


@pytest.fixture(scope="session")
def stored_runs(finished, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    for kind, store in finished.items():
        train(recipe, store, folder / kind, device="cpu")
    return folder


def clips_of(view, addresses, clip_frames):
    with view.clips.stream(iter([addresses]), clip_frames=clip_frames, max_clips=len(addresses)) as stream:
        (clips,) = stream
    return clips


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_encoded_on_the_fly_is_the_one_stored_but_for_quantisation(finished, online_source, kind):
    store = Store.open(finished[kind])
    longest = max(store.trajectories, key=lambda t: t.num_frames)
    # The second one begins in one slot and ends in the next, the last one ends with its trajectory.
    firsts = [longest.first_frame, longest.first_frame + 124, store.trajectories[-1].first_frame]
    addresses = np.array([*firsts, longest.first_frame + longest.num_frames - 8])
    stored = clips_of(View.of_store(store, CPU), addresses, 8)
    online = clips_of(online_source(store.path).view(store, CPU), addresses, 8)
    assert torch.equal(online.states_BTA, stored.states_BTA)
    assert torch.equal(online.actions_BTA, stored.actions_BTA)
    assert online.latents_BTND.shape == stored.latents_BTND.shape
    assert online.latents_BTND.dtype == torch.float32
    error = (online.latents_BTND - stored.latents_BTND).abs().mean() / stored.latents_BTND.abs().mean()
    assert 0 < error < LATENT_TOLERANCE[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_the_stored_path_within_quantisation(
    finished, stored_runs, online_source, recipe, tmp_path, kind
):
    store, run = finished[kind], tmp_path / "run"
    train(recipe, store, run, device="cpu", view_of=online_source(store).view)
    assert losses_of(run) == pytest.approx(losses_of(stored_runs / kind), rel=LOSS_TOLERANCE[kind])
    ours, theirs = (json.loads((path / "evaluation.json").read_text()) for path in (run, stored_runs / kind))
    assert ours["l1"] == pytest.approx(theirs["l1"], rel=LOSS_TOLERANCE[kind])
    ours, theirs = (Checkpoint.load(path / "checkpoint.pt").trained_on for path in (run, stored_runs / kind))
    assert (ours["latents"], theirs["latents"]) == ("online", "stored")
    assert ours["windows_sha256"] == theirs["windows_sha256"]


def test_a_plan_alone_gives_the_same_run_as_the_store_that_was_made_from_it(
    online_run, store_states, online_source, recipe, tmp_path
):
    """Bit for bit: with a plan the statistics of states and actions come from the source's rows."""
    sealed = store_states["sealed"]
    train(recipe, sealed, tmp_path / "run", device="cpu", view_of=online_source(sealed).view)
    assert losses_of(tmp_path / "run") == losses_of(online_run)
    ours, theirs = (Checkpoint.load(run / "checkpoint.pt") for run in (tmp_path / "run", online_run))
    assert ours.trained_on == theirs.trained_on
    assert ours.predictor == theirs.predictor


def test_other_windows_have_other_losses(online_run, store_states, recipe, tmp_path):
    """Or the tolerance would prove nothing."""
    other = replace(recipe, sample_by=SampleBy.EPISODE)
    train(other, store_states["sealed"], tmp_path / "run", device="cpu")
    ours, theirs = losses_of(tmp_path / "run"), losses_of(online_run)
    assert ours[0] != pytest.approx(theirs[0], rel=LOSS_TOLERANCE["int8"])
