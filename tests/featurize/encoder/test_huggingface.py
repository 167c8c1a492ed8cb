"""Hugging Face files, written by transformers' own VJEPA2Model."""

import logging

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import VJEPA2Config, VJEPA2Model

from featurize.encoder.errors import CheckpointMismatchError, CheckpointUnreadableError, EncoderOptionError
from featurize.encoder.load import load_encoder

LARGEST_RELATIVE_ERROR = 1e-5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = VJEPA2Config(
        patch_size=8, crop_size=64, frames_per_clip=2,
        hidden_size=48, num_attention_heads=3, num_hidden_layers=2,
        pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1, pred_num_mask_tokens=2,
    )  # fmt: skip
    model = VJEPA2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5)
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vjepa2-tiny-fpc2-64")
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def rewritten(folder, tmp_path):
    """`rewritten(change)`: the same file after `change(tensors)`."""

    def rewrite(change):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, tmp_path / "changed.safetensors")
        return tmp_path / "changed.safetensors"

    return rewrite


def test_equals_transformers(model, folder, pretraining_spec, frames, relative_error):
    encoder = load_encoder(pretraining_spec, weights=folder)
    mean, std = (
        torch.tensor(values).reshape(3, 1, 1) for values in (encoder.spec.mean_rgb, encoder.spec.std_rgb)
    )
    with torch.inference_mode():
        clip = ((frames - mean) / std).unsqueeze(1).repeat(1, 2, 1, 1, 1)
        tokens_FND = model(clip, skip_predictor=True).last_hidden_state
    expected_FND = F.layer_norm(tokens_FND, tokens_FND.shape[-1:])
    assert relative_error(encoder.encode(frames), expected_FND) < LARGEST_RELATIVE_ERROR


def test_the_same_weights_have_the_same_hash_as_in_an_official_file(folder, pretraining_spec, tmp_path):
    from featurize.encoder.huggingface import read_huggingface

    tensors = {f"module.backbone.{key}": value for key, value in read_huggingface(folder).tensors.items()}
    torch.save({"target_encoder": tensors}, tmp_path / "official.pt")
    official = load_encoder(pretraining_spec, weights=tmp_path / "official.pt")
    assert load_encoder(pretraining_spec, weights=folder).weights_sha256 == official.weights_sha256


def test_a_file_and_the_folder_it_lies_in_are_the_same(folder, pretraining_spec):
    of_file = load_encoder(pretraining_spec, weights=folder / "model.safetensors")
    assert of_file.weights_sha256 == load_encoder(pretraining_spec, weights=folder).weights_sha256


def test_a_checkpoint_in_several_files_is_read_whole(model, folder, pretraining_spec, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    whole = load_encoder(pretraining_spec, weights=folder)
    assert load_encoder(pretraining_spec, weights=tmp_path).weights_sha256 == whole.weights_sha256


def test_the_predictor_is_accounted_for(model, folder, pretraining_spec, caplog):
    with caplog.at_level(logging.INFO):
        load_encoder(pretraining_spec, weights=folder)
    unused = caplog.text.split("28 tensors loaded; known and unused: ")[1].strip().split(", ")
    assert sorted(unused) == sorted(key for key in model.state_dict() if key.startswith("predictor."))


@pytest.mark.parametrize(
    "key", ["predictor.layer.0.mlp.fc3.weight", "classifier.weight", "encoder.layer.0.gate"]
)
def test_rejects_an_unexpected_tensor(key, pretraining_spec, rewritten):
    weights = rewritten(lambda tensors: tensors.update({key: torch.zeros(2)}))
    with pytest.raises(CheckpointMismatchError, match=r"unexpected \(1\)"):
        load_encoder(pretraining_spec, weights=weights)


def test_rejects_a_missing_key_projection(pretraining_spec, rewritten):
    weights = rewritten(lambda tensors: tensors.pop("encoder.layer.1.attention.key.weight"))
    with pytest.raises(CheckpointMismatchError, match=r"missing \(1\): blocks\.1\.attn\.qkv\.weight\n"):
        load_encoder(pretraining_spec, weights=weights)


def test_rejects_a_damaged_file(pretraining_spec, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(CheckpointUnreadableError, match=r"broken\.safetensors is damaged: .* Fetch it again"):
        load_encoder(pretraining_spec, weights=tmp_path / "broken.safetensors")


def test_rejects_a_folder_without_weights(pretraining_spec, tmp_path):
    with pytest.raises(CheckpointUnreadableError, match=r"holds no \.safetensors file"):
        load_encoder(pretraining_spec, weights=tmp_path)


def test_a_checkpoint_key_has_no_meaning_here(folder, pretraining_spec):
    with pytest.raises(EncoderOptionError, match="--checkpoint-key encoder chooses a network of an official"):
        load_encoder(pretraining_spec, weights=folder, checkpoint_key="encoder")
