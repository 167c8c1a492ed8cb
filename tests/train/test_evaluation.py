import json
import shutil

import numpy as np
import pytest
import torch

from store_schema.layout import open_group
from store_schema.quantisation import dequantise
from store_schema.store import Store
from train.assembly import predictor_config
from train.clips import Clips
from train.evaluation import (
    CLIP_FRAMES,
    HORIZONS,
    EvaluationError,
    evaluate,
    measure,
    open_loop_errors,
    read_evaluation,
)
from train.held_out import HeldOutClips, HeldOutError
from train.predictor import Predictor
from train.provenance import RunMismatchError
from train.run_folder import RunFolder, RunNotFoundError
from train.trainer import train
from train.view import View

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tiny_store):
    return Store.open(tiny_store)


@pytest.fixture(scope="module")
def view(store):
    return View.of_store(store, CPU)


@pytest.fixture
def predictor(view, tiny_recipe):
    predictor = Predictor(predictor_config(tiny_recipe(), view))
    torch.nn.init.normal_(
        predictor.predictor_proj.weight, std=0.02, generator=torch.Generator().manual_seed(0)
    )
    return predictor


@pytest.fixture(scope="module")
def trained_run(tiny_store, tiny_recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluated") / "run"
    train(tiny_recipe(steps=2), tiny_store, path, device="cpu")
    return path


def stored_latents(store: Store, frames: slice) -> torch.Tensor:
    group = open_group(store.path)
    codes, scale = (torch.from_numpy(np.asarray(group[name][frames])) for name in ("latents", "token_scale"))
    return dequantise(codes, scale, store.channel_statistics)


def test_every_start_that_the_longest_horizon_fits_after_is_scored(store, view):
    """Held-out trajectories of 30 and 12 frames have 22 and 4 starts."""
    held_out = HeldOutClips.of(view, CLIP_FRAMES)
    expected = {t.first_frame + i for t in store.split("validation") for i in range(t.num_frames - 8)}
    assert set(held_out.start_S.tolist()) == expected
    assert (len(held_out), held_out.num_trajectories) == (26, 2)


def test_copying_the_last_frame_is_scored_at_the_horizon_alone(store, view, predictor):
    errors = measure(predictor, HeldOutClips.of(view, CLIP_FRAMES), batch_clips=8, device=CPU)
    per_start = []
    for t in store.split("validation"):
        latents = stored_latents(store, slice(t.first_frame, t.first_frame + t.num_frames))
        for start in range(t.num_frames - 8):
            per_start.append([(latents[start + h] - latents[start]).abs().mean().item() for h in HORIZONS])
    assert errors.baselines["copy_last_frame"] == pytest.approx(np.mean(per_start, axis=0).tolist(), rel=1e-5)


def test_an_untrained_residual_predictor_copies_the_last_frame(view, tiny_recipe):
    untrained = Predictor(predictor_config(tiny_recipe(), view))
    errors = measure(untrained, HeldOutClips.of(view, CLIP_FRAMES), batch_clips=8, device=CPU)
    assert errors.l1 == pytest.approx(errors.baselines["copy_last_frame"], rel=0.02)


def test_the_result_does_not_depend_on_the_batch_size(view, predictor):
    held_out = HeldOutClips.of(view, CLIP_FRAMES)
    one, many = (measure(predictor, held_out, batch_clips=size, device=CPU) for size in (1, 7))
    assert many.l1 == pytest.approx(one.l1, rel=1e-5)
    for name, errors in one.baselines.items():
        assert many.baselines[name] == pytest.approx(errors, rel=1e-5)


def test_foreign_actions_come_once_from_every_clip_and_never_from_its_own(view):
    held_out = HeldOutClips.of(view, CLIP_FRAMES)
    own, foreign = [], []
    for clips in held_out.batches(7):
        own += [tuple(a.flatten().tolist()) for a in clips.actions_BTA[:-1]]
        foreign += [tuple(a.flatten().tolist()) for a in clips.actions_BTA[1:]]
    assert len(set(own)) == len(held_out)
    assert sorted(own) == sorted(foreign)
    assert all(a != b for a, b in zip(own, foreign, strict=True))


def test_nothing_recorded_after_the_first_frame_reaches_the_predictor(view, predictor):
    """Later states and latents are replaced; only the target may notice."""
    clips = next(iter(HeldOutClips.of(view, CLIP_FRAMES).batches(3)))
    misled = Clips(
        latents_BTND=clips.latents_BTND.clone(),
        states_BTA=clips.states_BTA.clone(),
        actions_BTA=clips.actions_BTA,
    )
    misled.states_BTA[:, 1:] = 9.0
    with torch.no_grad():
        honest = open_loop_errors(predictor, clips)
        assert torch.equal(open_loop_errors(predictor, misled)["l1"], honest["l1"])
        misled.latents_BTND[:, 8] = 0.0
        changed = open_loop_errors(predictor, misled)["l1"]
    assert torch.equal(changed[:, :3], honest["l1"][:, :3])
    assert not torch.equal(changed[:, 3], honest["l1"][:, 3])


def test_the_three_ways_to_act_differ(view, predictor):
    errors = measure(predictor, HeldOutClips.of(view, CLIP_FRAMES), batch_clips=8, device=CPU)
    assert len({errors.l1, errors.baselines["zero_action"], errors.baselines["shuffled_action"]}) == 3


def test_a_part_of_the_starts_is_a_seeded_choice(view):
    held_out = HeldOutClips.of(view, CLIP_FRAMES)
    assert held_out.first(5).start_S.tolist() == HeldOutClips.of(view, CLIP_FRAMES).start_S[:5].tolist()
    assert len(held_out.first(1000)) == 26


def test_measuring_leaves_the_predictor_in_training_mode(view, predictor):
    measure(predictor, HeldOutClips.of(view, CLIP_FRAMES).first(2), batch_clips=2, device=CPU)
    assert predictor.training


def test_refuses_a_store_without_held_out_clips(make_store, tmp_path):
    path = make_store(tmp_path / "s.zarr", trajectories=[(20, "train"), (9, "validation")])
    with pytest.raises(HeldOutError, match="1 held-out trajectories hold 1 clips of 9 frames; at least 2"):
        HeldOutClips.of(View.of_store(Store.open(path), CPU), CLIP_FRAMES)


def test_evaluate_prints_one_number_a_horizon_and_what_it_measured_on(trained_run, tiny_store, store):
    result = evaluate(trained_run, tiny_store, device="cpu")
    assert result["horizons"] == [1, 2, 4, 8]
    assert len(result["l1"]) == 4
    assert result["baselines"].keys() == {"copy_last_frame", "zero_action", "shuffled_action"}
    assert all(len(errors) == 4 for errors in result["baselines"].values())
    measured_on = result["measured_on"]
    assert (measured_on["checkpoint_step"], measured_on["num_starts"], measured_on["num_trajectories"]) == (
        2,
        26,
        2,
    )
    assert measured_on["store_uuid"] == store.attributes.uuid
    assert (measured_on["clock"], measured_on["crop"], measured_on["split"]) == (
        "physical",
        "random",
        "validation",
    )
    assert json.loads((trained_run / "evaluation.json").read_text()) == result


def test_evaluate_measures_what_training_measured_at_its_end(trained_run, tiny_store):
    at_end = json.loads((trained_run / "evaluation.json").read_text())
    assert evaluate(trained_run, tiny_store, device="cpu") == at_end


def test_evaluate_refuses_a_store_of_other_latents(trained_run, make_store, tmp_path):
    other = make_store(tmp_path / "other.zarr", seed=1)
    with pytest.raises(RunMismatchError, match=r"store differs.*fingerprint_sha256: run has .*Point --store"):
        evaluate(trained_run, other, device="cpu")


def test_evaluate_needs_a_checkpoint(trained_run, tiny_store, tmp_path):
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    with pytest.raises(RunNotFoundError, match=r"There is no checkpoint in .*`permafrost train` writes one"):
        evaluate(tmp_path / "run", tiny_store)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[:50], "the whole file: Invalid JSON"),
        (lambda text: "[]", "the whole file: Input should be an object"),
        (lambda text: text.replace('"horizons"', '"horizon"'), "horizons: Field required"),
        (
            lambda text: text.replace('"checkpoint_step": 2', '"checkpoint_step": "2"'),
            "checkpoint_step: Input",
        ),
        (lambda text: text.replace("copy_last_frame", "copy"), "there are no errors of copy_last_frame"),
    ],
)
def test_a_broken_evaluation_file_says_how_to_measure_again(trained_run, tmp_path, change, problem):
    (tmp_path / "evaluation.json").write_text(change((trained_run / "evaluation.json").read_text()))
    message = (
        rf"evaluation\.json is not an evaluation: .*{problem}.*Remove it; `permafrost evaluate .*` measures"
    )
    with pytest.raises(EvaluationError, match=message):
        read_evaluation(RunFolder(tmp_path), step=2)
