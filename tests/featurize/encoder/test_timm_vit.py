"""Any vision transformer of timm, by name."""

import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.errors import (
    CheckpointUnreadableError,
    EncoderOptionError,
    UnknownEncoderError,
    UnsupportedTimmModelError,
    WeightsUnavailableError,
)
from featurize.encoder.load import load_encoder

SMALLEST = "test_vit"  # timm's own: 160 px, 64 wide, with a class token


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return timm.create_model(SMALLEST, pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "weights.pth"
    torch.save(model.state_dict(), path)
    return path


def test_gives_the_layer_normed_patch_tokens_of_the_model(model, weights):
    frames_FCHW = torch.rand(2, 3, 160, 160) * 255
    encoder = load_encoder(f"timm:{SMALLEST}", weights=weights)
    cfg = model.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        tokens = model.forward_features((frames_FCHW / 255 - mean) / std)[:, 1:]
    expected_FND = F.layer_norm(tokens, (64,))
    assert expected_FND.shape == (2, encoder.spec.num_tokens, encoder.spec.width)
    torch.testing.assert_close(encoder.encode(frames_FCHW), expected_FND, rtol=1e-4, atol=1e-4)
    assert (encoder.attention, encoder.spec.name) == ("timm", f"timm:{SMALLEST}")


@pytest.mark.parametrize(
    ("timm_name", "image_size_px", "num_tokens", "width"),
    [
        ("vit_small_patch14_reg4_dinov2", 518, 37 * 37, 384),
        ("eva02_tiny_patch14_224", 224, 16 * 16, 192),
        ("vit_base_patch16_siglip_224", 224, 14 * 14, 768),
    ],
)
def test_reads_sizes_off_the_model(timm_name, image_size_px, num_tokens, width):
    spec = encoder_spec(f"timm:{timm_name}")
    assert (spec.image_size_px, spec.num_tokens, spec.width) == (image_size_px, num_tokens, width)
    assert spec.grid_height * spec.grid_width == num_tokens


def test_pixel_statistics_are_the_models_own():
    assert encoder_spec("timm:vit_base_patch16_siglip_224").mean_rgb == (127.5, 127.5, 127.5)


@pytest.mark.parametrize("timm_name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_rejects_a_model_that_is_no_vision_transformer(timm_name):
    with pytest.raises(
        UnsupportedTimmModelError, match=f"'{timm_name}' gives no patch tokens; expected a vision"
    ):
        encoder_spec(f"timm:{timm_name}")


def test_rejects_a_model_whose_patch_tokens_are_a_map(monkeypatch, model):
    monkeypatch.setattr(
        type(model), "forward_features", lambda self, x: torch.empty(1, 8, 10, 10, device="meta")
    )
    with pytest.raises(UnsupportedTimmModelError, match=r"gives features of shape \(1, 7, 10, 10\)"):
        encoder_spec(f"timm:{SMALLEST}")


def test_rejects_a_model_of_frames_that_are_not_square():
    with pytest.raises(
        UnsupportedTimmModelError, match="takes 1024 x 768 pixels and gives 3072 patch tokens"
    ):
        encoder_spec("timm:vit_base_patch16_sapiens2")


def test_rejects_a_tag_that_timm_has_not():
    with pytest.raises(
        UnsupportedTimmModelError, match=r"Invalid pretrained tag \(nowhere\).* timm has test_vit\.r160"
    ):
        encoder_spec(f"timm:{SMALLEST}.nowhere")


def test_rejects_a_name_that_timm_has_not():
    with pytest.raises(UnknownEncoderError, match="There is no encoder 'timm:vit_enormous'"):
        encoder_spec("timm:vit_enormous")


def test_rejects_a_file_of_another_model(model, tmp_path):
    torch.save(
        {key: value for key, value in model.state_dict().items() if key != "norm.bias"}, tmp_path / "w.pth"
    )
    with pytest.raises(
        CheckpointUnreadableError, match=r"w\.pth does not fit timm model 'test_vit'.*[\s\S]*norm\.bias"
    ):
        load_encoder(f"timm:{SMALLEST}", weights=tmp_path / "w.pth")


def test_without_file_and_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        WeightsUnavailableError, match=r"'test_vit' are neither in timm's cache nor reachable"
    ):
        load_encoder(f"timm:{SMALLEST}")


def test_xformers_is_not_for_timm(weights):
    with pytest.raises(EncoderOptionError, match="timm:test_vit computes attention in timm's own blocks"):
        load_encoder(f"timm:{SMALLEST}", weights=weights, attention="xformers")


def test_a_timm_model_computes_in_bfloat16_too(weights, relative_error):
    frames_FCHW = torch.rand(2, 3, 160, 160) * 255
    half = load_encoder(f"timm:{SMALLEST}", weights=weights, dtype=torch.bfloat16).encode(frames_FCHW)
    assert half.dtype == torch.float32
    full = load_encoder(f"timm:{SMALLEST}", weights=weights).encode(frames_FCHW)
    assert 1e-4 < relative_error(half, full) < 5e-2
