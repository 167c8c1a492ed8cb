import dataclasses
import json

import pytest
import torch

from store_schema.errors import DamagedStoreError, StoreNotFoundError
from store_schema.layout import slot_path
from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.device import DeviceError, choose_device
from train.metrics import read_metrics
from train.provenance import RunMismatchError, code_of_training
from train.trainer import train
from train.update import NonFiniteLossError


def run(recipe, store, path, **chosen):
    return train(recipe, store, path, device="cpu", **chosen)


@pytest.fixture(scope="module")
def finished(tiny_store, tiny_recipe, tmp_path_factory):
    path, seen = tmp_path_factory.mktemp("finished") / "run", []
    result = run(tiny_recipe(), tiny_store, path, on_progress=seen.append)
    return result, seen


def test_a_run_leaves_everything_in_its_folder(finished, tiny_store, tiny_recipe):
    result, _ = finished
    described = json.loads((result.run_path / "recipe.json").read_text())
    assert described["recipe"] == tiny_recipe().to_json()
    assert described["trained_on"]["store_uuid"] == Store.open(tiny_store).attributes.uuid
    assert described["trained_on"]["attribution"] == "Drawn for the tests."
    assert described["trained_on"]["licence"] == "No rights reserved."
    assert described["library_versions"]["torch"] == torch.__version__.partition("+")[0]
    assert described["code_version"] == code_of_training()
    assert result.evaluation == json.loads((result.run_path / "evaluation.json").read_text())
    assert any((result.run_path / "tensorboard").iterdir())
    assert result.outcome == f"Finished all 6 steps; the results are in {result.run_path}."


def test_the_checkpoint_says_what_it_was_trained_on(finished, tiny_store, tiny_recipe):
    checkpoint = Checkpoint.load(finished[0].run_path / "checkpoint.pt")
    assert (checkpoint.step, checkpoint.recipe) == (6, tiny_recipe().to_json())
    fingerprint = Store.open(tiny_store).attributes.fingerprint
    assert checkpoint.trained_on["fingerprint_sha256"] == fingerprint.sha256()
    assert checkpoint.trained_on["num_windows"] == 37 + 126 + 13 + 9 + 21


def test_metrics_hold_a_line_a_step_and_the_validations(finished, tiny_recipe):
    lines = read_metrics(finished[0].run_path / "metrics.jsonl")
    training = [line for line in lines if line["kind"] == "train"]
    validation = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in training] == [1, 2, 3, 4, 5, 6]
    names = {"loss", "teacher_forcing_loss", "rollout_loss", "learning_rate", "phase", "gradient_norm"}
    assert training[0].keys() == {"kind", "step", "data_wait_share", "clips_per_second", *names}
    assert [line["learning_rate"] for line in training] == [
        tiny_recipe().schedule.learning_rate(step) for step in range(6)
    ]
    assert {line["phase"] for line in training} == {"warm-up", "constant", "decay"}
    assert [(line["step"], line["num_starts"]) for line in validation] == [(3, 3), (6, 26)]
    assert validation[-1]["l1"] == finished[0].evaluation["l1"]


def test_progress_is_told_after_every_update(finished):
    _, seen = finished
    assert [(progress.step, progress.total_steps) for progress in seen] == [(step, 6) for step in range(1, 7)]
    assert all(progress.clips_per_second > 0 for progress in seen)
    assert all(0 <= progress.data_wait_share <= 1 for progress in seen)


def test_the_predictor_learns_what_the_actions_do(make_store, tiny_recipe, tmp_path):
    trajectories = [(64, "train")] * 12 + [(30, "validation")] * 3
    store = make_store(tmp_path / "s.zarr", trajectories=trajectories)
    schedule = {"steps": 160, "warmup_steps": 8, "decay_steps": 8, "lr_peak": 5e-4}
    recipe = tiny_recipe(
        batch_clips=16, micro_batch_clips=16, validate_every=500, checkpoint_every=500, **schedule
    )
    evaluation = run(recipe, store, tmp_path / "run").evaluation
    assert evaluation["l1"][0] < 0.97 * evaluation["baselines"]["copy_last_frame"][0]
    assert evaluation["baselines"]["shuffled_action"][0] > 1.03 * evaluation["l1"][0]


def test_a_finished_run_is_left_as_it_is(finished, tiny_store, tiny_recipe):
    result, _ = finished
    before = {path: path.stat().st_mtime_ns for path in result.run_path.rglob("*")}
    assert run(tiny_recipe(), tiny_store, result.run_path) == result
    assert {path: path.stat().st_mtime_ns for path in result.run_path.rglob("*")} == before


@pytest.mark.parametrize(("field", "value"), [("seed", 1), ("lr_peak", 5e-4), ("steps", 7), ("hours", 0.001)])
def test_another_recipe_is_refused_with_the_field_named(finished, tiny_store, tiny_recipe, field, value):
    with pytest.raises(RunMismatchError, match=rf"recipe differs.* {field}: run has .*, asked for {value}"):
        run(tiny_recipe(**{field: value}), tiny_store, finished[0].run_path)


def test_another_store_is_refused_with_the_fields_named(finished, make_store, tiny_recipe, tmp_path):
    other = make_store(tmp_path / "other.zarr", seed=1)
    with pytest.raises(
        RunMismatchError, match=r"data differs.*fingerprint_sha256: run has .*store_uuid: run has"
    ):
        run(tiny_recipe(), other, finished[0].run_path)


def test_starts_from_the_weights_of_another_run(finished, tiny_store, tiny_recipe, tmp_path):
    checkpoint_path = finished[0].run_path / "checkpoint.pt"
    frozen = tiny_recipe(
        lr_start=0.0, lr_peak=1e-30, weight_decay=0.0, steps=1, warmup_steps=0, decay_steps=0
    )
    run(frozen, tiny_store, tmp_path / "run", init=checkpoint_path)
    started_from = Checkpoint.load(checkpoint_path).model
    continued = Checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert all(torch.equal(value, started_from[name]) for name, value in continued.model.items())
    assert continued.recipe["init_sha256"] is not None
    with pytest.raises(RunMismatchError, match=r"init_sha256: run has .*, asked for None"):
        run(frozen, tiny_store, tmp_path / "run")


def test_damage_in_the_store_stops_the_run_with_the_slot_named(make_store, tiny_recipe, tmp_path):
    path = make_store(tmp_path / "s.zarr", trajectories=[(20, "train"), (20, "validation")])
    shard = path / slot_path(Store.open(path).specs["latents"], 0)
    damaged = bytearray(shard.read_bytes())
    for byte in range(0, 20 * 32, 32):
        damaged[byte] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(DamagedStoreError, match="of slot 0"):
        run(tiny_recipe(), path, tmp_path / "run")
    assert Checkpoint.load(tmp_path / "run" / "checkpoint.pt").step == 0


def test_a_loss_that_explodes_stops_the_run_at_its_last_checkpoint(tiny_store, tiny_recipe, tmp_path):
    recipe = tiny_recipe(lr_start=1e20, lr_peak=1e30)
    with pytest.raises(NonFiniteLossError, match="train with a lower lr_peak"):
        run(recipe, tiny_store, tmp_path / "run")
    weights = Checkpoint.load(tmp_path / "run" / "checkpoint.pt").model
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())


def test_no_store_no_run_folder(tiny_recipe, tmp_path):
    with pytest.raises(StoreNotFoundError):
        run(tiny_recipe(), tmp_path / "nowhere.zarr", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_hours_train_on_a_part_of_the_split(tiny_store, tiny_recipe, tmp_path):
    recipe = dataclasses.replace(tiny_recipe(steps=1, warmup_steps=0, decay_steps=0), hours=0.001)
    run(recipe, tiny_store, tmp_path / "run")
    assert Checkpoint.load(tmp_path / "run" / "checkpoint.pt").trained_on["num_trajectories"] < 5


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="no kind of device called 'tpu9'"):
        choose_device("tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match=r"PyTorch sees no GPU. Use --device cpu"):
        choose_device("cuda")
    assert choose_device(None).type == "cpu"


@pytest.mark.gpu
def test_a_gpu_trains_stops_and_goes_on(tiny_store, tiny_recipe, tmp_path, cuda_device):
    """Everything at once: bf16, compiled blocks, FlexAttention, reading processes, a checkpointed block."""
    whole = train(tiny_recipe(), tiny_store, tmp_path / "whole", device="cuda")
    on_cpu = train(tiny_recipe(), tiny_store, tmp_path / "cpu", device="cpu")
    assert whole.evaluation["l1"] == pytest.approx(on_cpu.evaluation["l1"], rel=0.05)
    again = train(tiny_recipe(), tiny_store, tmp_path / "whole", device="cuda")
    assert again.evaluation == whole.evaluation
