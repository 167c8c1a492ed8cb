"""SDPA or xformers. xformers runs on no CPU, so a stand-in with its layout takes its place."""

import importlib.metadata
import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch.nn.functional as F

from featurize.encoder.errors import EncoderOptionError, XformersUnavailableError
from featurize.encoder.load import load_encoder


@pytest.fixture
def install(monkeypatch):
    """`install(function)`: an `xformers.ops` whose memory-efficient attention is `function`."""

    def install(function):
        ops = ModuleType("xformers.ops")
        ops.memory_efficient_attention = function
        monkeypatch.setitem(sys.modules, "xformers", ModuleType("xformers"))
        monkeypatch.setitem(sys.modules, "xformers.ops", ops)

    return install


@pytest.fixture
def not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.delitem(sys.modules, "xformers.ops", raising=False)


def attention_in_xformers_layout(query_FNHK, key_FNHK, value_FNHK):
    heads_first = (tensor.transpose(1, 2) for tensor in (query_FNHK, key_FNHK, value_FNHK))
    return F.scaled_dot_product_attention(*heads_first).transpose(1, 2)


def refuse(query, key, value):
    raise NotImplementedError(
        "No operator found for `memory_efficient_attention_forward`\n  and many lines more"
    )


@pytest.mark.parametrize("wanted", ["xformers", "auto"])
def test_xformers_gives_the_latents_of_sdpa(
    wanted, install, action_conditioned_spec, reference_data, frames, relative_error
):
    calls = []

    def record(query, key, value):
        calls.append(query.shape)
        return attention_in_xformers_layout(query, key, value)

    install(record)
    options = {"weights": reference_data / "action_conditioned.pt", "checkpoint_key": "encoder"}
    ours = load_encoder(action_conditioned_spec, attention=wanted, **options)
    sdpa = load_encoder(action_conditioned_spec, attention="sdpa", **options)
    assert (ours.attention, sdpa.attention) == ("xformers", "sdpa")
    assert relative_error(ours.encode(frames), sdpa.encode(frames)) < 1e-5
    # One probe, then one call a block with (frames, tokens, heads, channels of a head).
    assert calls[1:] == [(3, 64, 3, 22)] * 2
    assert ours.weights_sha256 == sdpa.weights_sha256


def test_xformers_that_refuses_the_tensors_is_an_error_with_its_reason(install, random_spec):
    install(refuse)
    expected = (
        r"cannot serve here: xformers refuses torch\.float32 tensors on cpu \(No operator found for .*`\)\."
    )
    with pytest.raises(XformersUnavailableError, match=expected):
        load_encoder(random_spec, attention="xformers")


def test_xformers_that_is_not_installed_is_an_error_that_says_what_to_install(not_installed, random_spec):
    with pytest.raises(
        XformersUnavailableError, match=r"cannot be imported .*permafrost\[xformers\]; --attention sdpa"
    ):
        load_encoder(random_spec, attention="xformers")


@pytest.mark.usefixtures("not_installed")
def test_auto_takes_sdpa_and_logs_why(random_spec, caplog):
    with caplog.at_level(logging.INFO):
        encoder = load_encoder(random_spec, attention="auto")
    assert encoder.attention == "sdpa"
    assert "attention: sdpa, because xformers cannot be imported" in caplog.text


def test_the_cuda_12_runtime_is_loaded_before_xformers(monkeypatch, install, random_spec):
    order = []
    runtime = SimpleNamespace(name="libcudart.so.12", locate=lambda: "lib/libcudart.so.12")
    header = SimpleNamespace(name="cuda.h", locate=lambda: "cuda.h")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [header, runtime])
    monkeypatch.setattr("ctypes.CDLL", lambda path, mode: order.append(path))
    install(lambda *qkv: order.append("attention") or attention_in_xformers_layout(*qkv))
    load_encoder(random_spec, attention="xformers")
    assert order == ["lib/libcudart.so.12", "attention"]


def test_an_unknown_attention_is_refused(random_spec):
    with pytest.raises(
        EncoderOptionError, match="attention is 'flash'; expected one of sdpa, xformers, auto"
    ):
        load_encoder(random_spec, attention="flash")
