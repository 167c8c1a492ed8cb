"""Every door for an encoder's weights, with every file that it may not take: a named error, no code run."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from featurize.encoder.errors import CheckpointMismatchError, CheckpointUnreadableError, EncoderError
from featurize.encoder.load import load_encoder

from ...checkpoint_faults import FAULTS, lying_header, marker_of

LONGEST_MESSAGE = 1500
TIMM = "timm:test_vit"


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "valid.pth"
    torch.save(timm.create_model("test_vit").state_dict(), path)
    return path


@pytest.fixture(params=["official", "timm"])
def door(request, reference_data, pretraining_spec, timm_weights):
    """The encoder, and a file that it takes."""
    if request.param == "timm":
        return TIMM, timm_weights
    return pretraining_spec, reference_data / "pretraining.pt"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_refuses(fault, door, tmp_path):
    encoder, valid = door
    path = tmp_path / "weights.pt"
    fault(valid, path)
    with pytest.raises(EncoderError) as caught:
        load_encoder(encoder, weights=path)
    assert "weights.pt" in str(caught.value)
    assert len(str(caught.value)) < LONGEST_MESSAGE
    assert "weights_only=False" not in str(caught.value)
    assert not marker_of(path).exists()


@pytest.mark.parametrize("value", ["text", 7, [1.0], {}])
def test_refuses_what_is_no_tensor(value, pretraining_spec, reference_data, tmp_path):
    checkpoint = torch.load(reference_data / "pretraining.pt", weights_only=True)
    checkpoint["target_encoder"]["module.backbone.norm.bias"] = value
    torch.save(checkpoint, tmp_path / "w.pt")
    with pytest.raises(
        CheckpointUnreadableError, match=r"holds a \w+ as 'module.backbone.norm.bias'; expected"
    ):
        load_encoder(pretraining_spec, weights=tmp_path / "w.pt")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_refuses_weights_that_are_no_real_numbers(dtype, pretraining_spec, reference_data, tmp_path):
    checkpoint = torch.load(reference_data / "pretraining.pt", weights_only=True)
    checkpoint["target_encoder"]["module.backbone.norm.bias"] = torch.zeros(48, dtype=dtype)
    torch.save(checkpoint, tmp_path / "w.pt")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(CheckpointMismatchError, match=rf"norm\.bias \[48\] of {name} instead of \[48\]"):
        load_encoder(pretraining_spec, weights=tmp_path / "w.pt")


def test_refuses_whole_numbers_for_a_timm_model(timm_weights, tmp_path):
    weights = torch.load(timm_weights, weights_only=True)
    torch.save({name: tensor.to(torch.int8) for name, tensor in weights.items()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointUnreadableError, match=r"w\.pth holds whole numbers in \d+ tensors"):
        load_encoder(TIMM, weights=tmp_path / "w.pth")


def grown(header):
    fields = json.loads(header)
    name = sorted(fields)[0]
    start, _ = fields[name]["data_offsets"]
    fields[name] |= {"shape": [2**40], "data_offsets": [start, start + 2**42]}
    return json.dumps(fields).encode()


def renamed(header):
    return header.replace(b"F32", b"Q99")


@pytest.mark.parametrize("lie", [grown, renamed, lambda header: b"[" * 100_000, lambda header: b"\xff" * 90])
@pytest.mark.parametrize("encoder", ["official", TIMM])
def test_refuses_a_safetensors_file_whose_header_lies(lie, encoder, pretraining_spec, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"norm.bias": torch.zeros(48), "norm.weight": torch.zeros(48)}, path)
    lying_header(path, lie)
    with pytest.raises(CheckpointUnreadableError, match=r"w\.safetensors"):
        load_encoder(pretraining_spec if encoder == "official" else encoder, weights=path)
