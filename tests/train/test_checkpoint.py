import pickle
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from store_schema.atomic import PARTIAL_SUFFIX
from train.checkpoint import Checkpoint, CheckpointError
from train.initial_weights import file_sha256, load_initial_weights
from train.official import save_official_predictor
from train.predictor import Predictor, PredictorConfig
from train.provenance import RunMismatchError

CONFIG = PredictorConfig(
    grid_height=2, grid_width=2, encoder_width=8, width=12, depth=1, num_heads=1, head="absolute"
)


def checkpoint_of(predictor: Predictor) -> Checkpoint:
    return Checkpoint(
        step=3,
        model=predictor.state_dict(),
        optimiser={"state": {}},
        recipe={"seed": 1},
        predictor=asdict(predictor.config),
        trained_on={"store_uuid": "u"},
        code_version="1",
        library_versions={"torch": "2"},
    )


def test_comes_back_as_it_was_saved(tmp_path):
    predictor = Predictor(CONFIG)
    checkpoint_of(predictor).save(tmp_path / "checkpoint.pt")
    loaded = Checkpoint.load(tmp_path / "checkpoint.pt")
    assert (loaded.step, loaded.recipe, loaded.trained_on) == (3, {"seed": 1}, {"store_uuid": "u"})
    assert all(torch.equal(value, loaded.model[name]) for name, value in predictor.state_dict().items())


def test_a_save_that_dies_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint = checkpoint_of(Predictor(CONFIG))
    checkpoint.save(path)

    def die(_content, file):
        file.write(b"half of a check")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        replace(checkpoint, step=4).save(path)
    monkeypatch.undo()
    assert Checkpoint.load(path).step == 3
    replace(checkpoint, step=5).save(path)
    assert Checkpoint.load(path).step == 5
    assert not list(tmp_path.glob(f"*{PARTIAL_SUFFIX}"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"permafrost_checkpoint": Attack()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil.pt cannot be read as tensors and plain values"):
        Checkpoint.load(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(CheckpointError, match=r"plain.pt cannot be read"):
        Checkpoint.load(tmp_path / "plain.pt")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint_of(Predictor(CONFIG)).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt cannot be read"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"predictor": {}}, "not a Permafrost checkpoint of format 2"),
        (
            {"permafrost_checkpoint": 1},
            "not a Permafrost checkpoint of format 2, but of 1. Train the run anew",
        ),
        ({"permafrost_checkpoint": 2, "step": 1}, r"holds \['step'\]; expected \['code_version'"),
        ([1], "holds a list; expected a mapping"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(tmp_path / "other.pt")


def test_starts_from_our_checkpoint_or_from_an_official_one(tmp_path):
    predictor = Predictor(CONFIG, seed=5)
    checkpoint_of(predictor).save(tmp_path / "ours.pt")
    save_official_predictor(tmp_path / "official.pt", predictor.state_dict(), CONFIG)
    for name in ("ours.pt", "official.pt"):
        weights = load_initial_weights(tmp_path / name, CONFIG)
        assert all(torch.equal(value, weights[key]) for key, value in predictor.state_dict().items())


def test_our_checkpoint_of_other_sizes_is_refused_with_the_size_named(tmp_path):
    checkpoint_of(Predictor(CONFIG)).save(tmp_path / "ours.pt")
    with pytest.raises(RunMismatchError, match=r"predictor differs.*depth: run has 1, asked for 2"):
        load_initial_weights(tmp_path / "ours.pt", replace(CONFIG, depth=2))


def test_a_missing_file_to_start_from_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no file .*nowhere.pt to start from"):
        file_sha256(tmp_path / "nowhere.pt")
