"""Every door for a predictor's weights, with every file that it may not take: a named error, no code run."""

from dataclasses import asdict, replace

import pytest
import torch

from train.checkpoint import Checkpoint, CheckpointError
from train.evaluation import evaluate
from train.initial_weights import load_initial_weights
from train.official import OfficialCheckpointError, load_official_predictor, save_official_predictor
from train.predictor import Predictor, PredictorConfig
from train.trained import load_optimiser, load_weights, trained_predictor
from train.trainer import train

from ..checkpoint_faults import FAULTS, code_in_a_zip, marker_of

CONFIG = PredictorConfig(
    grid_height=2, grid_width=2, encoder_width=8, width=12, depth=1, num_heads=1, head="absolute"
)
LONGEST_MESSAGE = 1500


@pytest.fixture
def checkpoint():
    return Checkpoint(
        step=3,
        model=Predictor(CONFIG).state_dict(),
        optimiser={"state": {}, "param_groups": []},
        recipe={"seed": 1},
        predictor=asdict(CONFIG),
        trained_on={"store_uuid": "u"},
        code_version="1",
        library_versions={},
    )


@pytest.fixture(params=["ours", "official"])
def valid(request, checkpoint, tmp_path):
    path = tmp_path / f"valid-{request.param}.pt"
    if request.param == "ours":
        checkpoint.save(path)
    else:
        save_official_predictor(path, checkpoint.model, CONFIG)
    return path


DOORS = {
    "checkpoint of a run": Checkpoint.load,
    "--init": lambda path: load_initial_weights(path, CONFIG),
    "official file": lambda path: load_official_predictor(path, CONFIG),
}


@pytest.mark.parametrize("load", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_refuses(fault, load, valid, tmp_path):
    path = tmp_path / "weights.pt"
    fault(valid, path)
    with pytest.raises((CheckpointError, OfficialCheckpointError), match=r"^weights\.pt ") as caught:
        load(path)
    assert len(str(caught.value)) < LONGEST_MESSAGE
    assert "weights_only=False" not in str(caught.value)
    assert not marker_of(path).exists()


@pytest.mark.parametrize(
    ("field", "value"), [("step", "3"), ("model", [1]), ("predictor", 7), ("recipe", None)]
)
def test_refuses_a_checkpoint_with_a_field_of_another_type(checkpoint, tmp_path, field, value):
    replace(checkpoint, **{field: value}).save(tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=rf"c\.pt holds a \w+ as '{field}'; expected (int|dict)\."):
        Checkpoint.load(tmp_path / "c.pt")


def test_lists_the_tensors_of_a_checkpoint_that_do_not_fit(checkpoint):
    model = {**checkpoint.model, "more": torch.zeros(2), "predictor_norm.bias": torch.zeros(5)}
    del model["predictor_norm.weight"]
    with pytest.raises(CheckpointError, match=r"^3 tensors differ") as caught:
        load_weights(Predictor(CONFIG), model)
    assert "predictor_norm.weight: missing" in str(caught.value)
    assert "more: unexpected, got (2,) float32" in str(caught.value)
    assert "predictor_norm.bias: expected (12,) float32, got (5,) float32" in str(caught.value)


def test_refuses_whole_numbers_and_what_is_no_tensor(checkpoint):
    model = {**checkpoint.model, "predictor_norm.bias": torch.zeros(12, dtype=torch.int8)}
    with pytest.raises(CheckpointError, match=r"predictor_norm\.bias: .* got \(12,\) int8"):
        load_weights(Predictor(CONFIG), model)
    with pytest.raises(CheckpointError, match=r"predictor_norm\.bias: .* got a str"):
        load_weights(Predictor(CONFIG), {**checkpoint.model, "predictor_norm.bias": "zeros"})


def test_a_list_of_hundreds_of_tensors_is_cut_short(checkpoint):
    with pytest.raises(CheckpointError, match=r"^300 tensors differ[\s\S]* and 280 more") as caught:
        load_weights(
            Predictor(CONFIG), {**checkpoint.model, **{f"m{number}": torch.zeros(1) for number in range(300)}}
        )
    assert len(str(caught.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize("predictor", [{}, {"width": 12}, asdict(CONFIG) | {"width": "12"}, {"unknown": 1}])
def test_refuses_a_predictor_that_cannot_be_built(checkpoint, predictor):
    with pytest.raises(CheckpointError, match="The checkpoint's predictor cannot be built"):
        trained_predictor(replace(checkpoint, predictor=predictor))


@pytest.mark.parametrize("state", [{}, {"state": {}, "param_groups": []}, {"state": 1, "param_groups": [{}]}])
def test_refuses_an_optimiser_of_another_run(state):
    optimiser = torch.optim.AdamW(Predictor(CONFIG).parameters())
    with pytest.raises(CheckpointError, match="optimiser is not the one of this run"):
        load_optimiser(optimiser, state)


def test_a_hostile_checkpoint_in_a_run_folder_is_refused_by_train_and_evaluate(
    tiny_store, tiny_recipe, tmp_path
):
    recipe, run = tiny_recipe(steps=1, warmup_steps=0, decay_steps=0), tmp_path / "run"
    train(recipe, tiny_store, run, device="cpu")
    valid = (run / "checkpoint.pt").rename(tmp_path / "valid.pt")
    code_in_a_zip(valid, run / "checkpoint.pt")
    for use in (lambda: train(recipe, tiny_store, run, device="cpu"), lambda: evaluate(run, tiny_store)):
        with pytest.raises(CheckpointError, match="objects that would run code when loaded"):
            use()
    assert not marker_of(run / "checkpoint.pt").exists()
