"""`finalise`: statistics of the training split by plain numpy, and a seal that comes last."""

import numpy as np
import pytest

from featurize.encode import encode
from featurize.errors import UnfinishedBuildError
from featurize.finalise import finalise
from store_schema.errors import DamagedStoreError
from store_schema.integrity import digest
from store_schema.quantisation import dequantise
from store_schema.store import Store

from .builds import build_at, build_store, frame_arrays


@pytest.fixture(scope="module", params=["int8", "float16"])
def sealed(request, finished, source, tmp_path_factory):
    if request.param == "int8":
        return finished
    build = build_at(tmp_path_factory.mktemp("finalise") / "float16.zarr", source, quantisation="float16")
    build_store(build)
    return build


def training_frames(store):
    """Frame addresses of each training trajectory."""
    return [
        np.arange(t.first_frame, t.first_frame + t.num_frames)
        for t in store.trajectories
        if t.split == "train"
    ]


def test_statistics_of_states_and_actions_are_those_of_the_training_split(sealed):
    store, arrays = Store.open(sealed.store), frame_arrays(sealed.store)
    statistics = store.attributes.statistics
    frames = np.concatenate(training_frames(store))
    assert statistics.num_frames == len(frames) < store.stored_frames
    for measured, name in ((statistics.states, "states"), (statistics.actions, "actions")):
        values_FA = arrays[name][frames].astype(np.float64)
        values_FA = values_FA[~np.isnan(values_FA).any(axis=1)]
        np.testing.assert_allclose(measured.mean, values_FA.mean(axis=0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(measured.std, values_FA.std(axis=0), rtol=1e-9, atol=1e-12)


def test_held_out_states_would_have_changed_them(sealed):
    """The episodes of this source move at different speeds, so the comparison above means something."""
    store, arrays = Store.open(sealed.store), frame_arrays(sealed.store)
    everything = arrays["states"][~np.isnan(arrays["states"]).any(axis=1)]
    assert not np.allclose(
        store.attributes.statistics.states.mean[:6], everything.mean(axis=0)[:6], rtol=1e-2
    )


def test_latent_change_is_the_mean_step_within_the_training_slots(sealed):
    store, arrays = Store.open(sealed.store), frame_arrays(sealed.store)
    changes = []
    for trajectory in store.split("train"):
        for slot in trajectory.slots:
            first = slot * 128
            latents_FND = latents(store, arrays, slice(first, first + store.ledger[slot].num_frames))
            changes.append(np.abs(np.diff(latents_FND, axis=0)).mean(axis=(1, 2)))
    statistics = store.attributes.statistics
    assert statistics.latent_slots == 6
    assert statistics.latent_change_l1 == pytest.approx(np.concatenate(changes).mean(), rel=1e-5)


def latents(store, arrays, frames):
    import torch

    if store.channel_statistics is None:
        return arrays["latents"][frames].astype(np.float32)
    codes, scale = (torch.from_numpy(arrays[name][frames]) for name in ("latents", "token_scale"))
    return dequantise(codes, scale, store.channel_statistics).numpy()


def test_refuses_while_slots_are_missing_and_changes_nothing(make_prepared, encoder):
    build = make_prepared()
    encode(build, encoder, [0, 2, 3])
    before = digest(build.store)
    with pytest.raises(
        UnfinishedBuildError,
        match=r"4 of 7 slots are missing: 1, 4, 5, 6\. Run the same command again to encode only these\.",
    ):
        finalise(build)
    assert digest(build.store) == before


def test_a_sealed_store_is_left_as_it_is(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.store.rglob("*") if path.is_file()}
    report = finalise(finished)
    assert (report.num_episodes, report.num_trajectories, report.rejects) == (6, 6, {})
    assert before == {path: path.stat().st_mtime_ns for path in finished.store.rglob("*") if path.is_file()}


@pytest.mark.parametrize("last_call", ["merge", "write_attributes"])
def test_a_finalise_that_stops_on_its_way_is_simply_run_again(
    make_prepared, encoder, finished, monkeypatch, last_call
):
    from store_schema import sealing as module

    build = make_prepared()
    encode(build, encoder)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, last_call, stop)
        with pytest.raises(KeyboardInterrupt):
            finalise(build)
    assert not Store.open(build.store).attributes.sealed
    finalise(build)
    assert digest(build.store) == digest(finished.store)


@pytest.mark.parametrize("array", ["states", "actions"])
def test_a_lost_file_is_not_counted_as_nan(make_prepared, encoder, array):
    build = make_prepared()
    encode(build, encoder)
    (build.store / array / "c/2/0").unlink()
    with pytest.raises(
        DamagedStoreError, match=rf"slot 2, array {array}: .*file is gone. Run `permafrost feat"
    ):
        finalise(build)
    assert not Store.open(build.store).attributes.sealed
