"""Official `.pt` files: every tensor accounted for, or nothing loaded."""

import logging
import pickle
from dataclasses import replace
from email.message import Message
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.errors import (
    CheckpointKeyError,
    CheckpointMismatchError,
    CheckpointUnreadableError,
    EncoderOptionError,
    WeightsUnavailableError,
)
from featurize.encoder.load import load_encoder
from featurize.encoder.spec import OfficialFile


@pytest.fixture
def rewritten(reference_data, tmp_path):
    """`rewritten(change)`: the pretraining checkpoint after `change(target_encoder)`."""

    def rewrite(change):
        checkpoint = torch.load(reference_data / "pretraining.pt", weights_only=True)
        change(checkpoint["target_encoder"])
        torch.save(checkpoint, tmp_path / "changed.pt")
        return tmp_path / "changed.pt"

    return rewrite


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty torch.hub cache, and no network."""

    def unreachable(url, *_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    return tmp_path / "checkpoints"


@pytest.fixture
def published_spec(pretraining_spec):
    official = OfficialFile(
        url="https://example.org/vjepa2/tiny.pt", checkpoint_keys=("target_encoder", "encoder")
    )
    return replace(pretraining_spec, official=official)


def test_takes_the_target_encoder_by_default(pretraining_spec, reference_data):
    weights = reference_data / "pretraining.pt"
    default = load_encoder(pretraining_spec, weights=weights).weights_sha256
    assert (
        default
        == load_encoder(pretraining_spec, weights=weights, checkpoint_key="target_encoder").weights_sha256
    )
    assert default != load_encoder(pretraining_spec, weights=weights, checkpoint_key="encoder").weights_sha256


def test_the_position_table_is_accounted_for(pretraining_spec, reference_data, caplog):
    with caplog.at_level(logging.INFO):
        load_encoder(pretraining_spec, weights=reference_data / "pretraining.pt")
    assert "28 tensors loaded; known and unused: pos_embed" in caplog.text


def test_rejects_a_missing_tensor(pretraining_spec, rewritten):
    weights = rewritten(lambda network: network.pop("module.backbone.blocks.1.attn.qkv.bias"))
    with pytest.raises(CheckpointMismatchError, match=r"missing \(1\): blocks\.1\.attn\.qkv\.bias") as caught:
        load_encoder(pretraining_spec, weights=weights)
    assert caught.value.missing == ("blocks.1.attn.qkv.bias",)


def test_rejects_an_unexpected_tensor(pretraining_spec, rewritten):
    weights = rewritten(lambda network: network.update({"module.backbone.cls_token": torch.zeros(1, 1, 48)}))
    with pytest.raises(CheckpointMismatchError, match=r"unexpected \(1\): cls_token"):
        load_encoder(pretraining_spec, weights=weights)


def test_rejects_a_tensor_of_another_shape(pretraining_spec, rewritten):
    weights = rewritten(lambda network: network.update({"module.backbone.norm.bias": torch.zeros(47)}))
    with pytest.raises(
        CheckpointMismatchError, match=r"wrong shape \(1\): norm\.bias \[47\] instead of \[48\]"
    ):
        load_encoder(pretraining_spec, weights=weights)


def test_the_weights_of_another_size_are_told_in_a_few_lines(action_conditioned_spec, reference_data):
    with pytest.raises(
        CheckpointMismatchError, match=r"wrong shape \(28\): .* and 20 more\nName the encoder"
    ) as caught:
        load_encoder(action_conditioned_spec, weights=reference_data / "pretraining.pt")
    assert len(caught.value.misshapen) == 28


def test_rejects_a_tensor_that_is_there_under_two_prefixes(pretraining_spec, rewritten):
    weights = rewritten(lambda network: network.update({"module.norm.bias": torch.zeros(48)}))
    with pytest.raises(CheckpointUnreadableError, match=r"holds 'norm\.bias' twice"):
        load_encoder(pretraining_spec, weights=weights)


def test_names_the_networks_where_the_wanted_one_is_not_there(action_conditioned_spec, reference_data):
    weights = reference_data / "action_conditioned.pt"
    with pytest.raises(
        CheckpointKeyError, match=r"no network 'target_encoder'; it has 'encoder'\. Choose one"
    ):
        load_encoder(action_conditioned_spec, weights=weights)


def test_rejects_a_file_that_is_no_checkpoint(pretraining_spec, tmp_path):
    path = tmp_path / "half.pt"
    path.write_bytes(b"PK\x03\x04 half a download")
    with pytest.raises(CheckpointUnreadableError, match=r"half\.pt cannot be read .* fetch it again"):
        load_encoder(pretraining_spec, weights=path)


def test_rejects_a_checkpoint_that_is_no_dictionary(pretraining_spec, tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(CheckpointUnreadableError, match="holds a Tensor; expected a mapping"):
        load_encoder(pretraining_spec, weights=tmp_path / "tensor.pt")


class _RunsCode:
    def __reduce__(self):
        return (Path.touch, (Path("was-here"),))


def test_runs_no_code_out_of_a_checkpoint(pretraining_spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"target_encoder": _RunsCode()}, tmp_path / "evil.pt", pickle_module=pickle)
    with pytest.raises(CheckpointUnreadableError, match=r"evil\.pt cannot be read"):
        load_encoder(pretraining_spec, weights=tmp_path / "evil.pt")
    assert not Path("was-here").exists()


def test_a_checkpoint_that_is_overwritten_leaves_the_encoder_as_it_is(pretraining_spec, rewritten, frames):
    path = rewritten(lambda network: None)
    encoder = load_encoder(pretraining_spec, weights=path)
    before_FND = encoder.encode(frames)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(encoder.encode(frames), before_FND)


def test_by_name_a_file_in_the_hub_cache_needs_no_network(hub_cache, published_spec, reference_data):
    hub_cache.mkdir()
    (hub_cache / "tiny.pt").symlink_to(reference_data / "pretraining.pt")
    by_path = load_encoder(published_spec, weights=reference_data / "pretraining.pt")
    assert load_encoder(published_spec).weights_sha256 == by_path.weights_sha256


def test_by_name_a_file_is_downloaded_into_the_hub_cache(
    hub_cache, published_spec, reference_data, monkeypatch
):
    source = reference_data / "pretraining.pt"
    monkeypatch.setattr("torch.hub.urlopen", lambda url, *_, **__: _Response(source.read_bytes()))
    encoder = load_encoder(published_spec)
    assert (hub_cache / "tiny.pt").read_bytes() == source.read_bytes()
    assert encoder.weights_sha256 == load_encoder(published_spec, weights=source).weights_sha256


class _Response:
    def __init__(self, content):
        self.content = content

    def info(self):
        return Message()

    def read(self, _size):
        content, self.content = self.content, b""
        return content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_by_name_without_file_and_network_says_where_the_file_belongs(hub_cache, published_spec):
    expected = (
        rf"{hub_cache / 'tiny.pt'} does not exist and https://example\.org/vjepa2/tiny\.pt cannot be fetched"
    )
    with pytest.raises(WeightsUnavailableError, match=expected):
        load_encoder(published_spec)
    assert not list(hub_cache.iterdir())


def test_by_name_a_network_that_is_not_in_the_file_is_refused_before_the_download(hub_cache):
    with pytest.raises(
        CheckpointKeyError, match=r"vjepa2-ac-vitg\.pt has no network 'target_encoder'. Choose encoder"
    ):
        load_encoder("vjepa2-ac-vitg", checkpoint_key="target_encoder")
    assert not hub_cache.exists()


def test_the_official_files_are_those_of_torch_hub_upstream():
    urls = {name: encoder_spec(name).official.url for name in ("vjepa2-vitl", "vjepa2-vith", "vjepa2-vitg")}
    assert urls == {
        f"vjepa2-{size}": f"https://dl.fbaipublicfiles.com/vjepa2/{size}.pt"
        for size in ("vitl", "vith", "vitg")
    }
    ac = encoder_spec("vjepa2-ac-vitg").official
    assert (ac.url, ac.checkpoint_keys) == (
        "https://dl.fbaipublicfiles.com/vjepa2/vjepa2-ac-vitg.pt",
        ("encoder",),
    )


def test_an_encoder_without_published_weights_asks_for_a_file(pretraining_spec):
    with pytest.raises(
        WeightsUnavailableError, match="No weights are published for tiny; pass --weights PATH"
    ):
        load_encoder(pretraining_spec)


def test_a_weights_path_that_does_not_exist_is_named(pretraining_spec, tmp_path):
    with pytest.raises(WeightsUnavailableError, match=r"--weights .*nowhere\.pt does not exist"):
        load_encoder(pretraining_spec, weights=tmp_path / "nowhere.pt")


def test_weights_for_an_encoder_that_draws_its_own_are_refused(reference_data):
    with pytest.raises(
        EncoderOptionError, match="vit-tiny-random draws its weights from seed 0; leave --weights out"
    ):
        load_encoder("vit-tiny-random", weights=reference_data / "pretraining.pt")


def test_a_checkpoint_key_where_there_is_one_network_is_refused():
    with pytest.raises(
        EncoderOptionError, match=r"--checkpoint-key encoder chooses .* vit-tiny-random has only one"
    ):
        load_encoder("vit-tiny-random", checkpoint_key="encoder")
