"""Facts about an encoder, counted from the network itself and without its weights."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.load import build_vjepa2, fold_patches
from featurize.encoder.spec import EncoderSpec, TimmSpec, Vjepa2Spec
from featurize.encoder.timm_vit import build_timm
from featurize.encoder.vit import Vjepa2Vit


def describe(name: str) -> dict[str, Any]:
    """Sizes and cost of the encoder `name`, ready for JSON; nothing is downloaded or allocated.

    `parameters` counts the published network. `flops_per_frame` counts the matrix products that one frame
    costs as we run it (a multiply and an add are two), which for V-JEPA 2 with N tokens of width D, MLP width
    M, depth L and patches of p pixels comes to

        2 N D 3 p^2  +  L (8 N D^2 + 4 N D M + 4 N^2 D)

    Raises:
        UnknownEncoderError, UnsupportedTimmModelError: as `encoder_spec`.
    """
    spec = encoder_spec(name)
    network = _on_meta(spec)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {
        "name": spec.name,
        "kind": "encoder",
        "parameters": parameters,
        "flops_per_frame": _flops_per_frame(network, spec),
        "shapes": {
            "frames": ["F", 3, spec.image_size_px, spec.image_size_px],
            "latents": ["F", spec.num_tokens, spec.width],
        },
        "input_dtype": "float32",
        "output_dtype": "float32",
        "compute_dtype": {"cuda": "bfloat16", "cpu": "float32"},
        "patch_size": spec.patch_size_px,
    }


def _on_meta(spec: EncoderSpec) -> nn.Module:
    if isinstance(spec, Vjepa2Spec):
        return build_vjepa2(spec)
    assert isinstance(spec, TimmSpec), spec
    with torch.device("meta"):
        return build_timm(spec.timm_name)


def _flops_per_frame(network: nn.Module, spec: EncoderSpec) -> int:
    if isinstance(network, Vjepa2Vit):
        fold_patches(network)
    frame = torch.empty(1, 3, spec.image_size_px, spec.image_size_px, device="meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network.to("meta").eval()(frame)
    return int(counter.get_total_flops())
