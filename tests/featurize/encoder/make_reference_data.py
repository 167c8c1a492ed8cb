"""Write `reference_data/`: what the reference implementation says, for our encoder to be held against.

    python tests/featurize/encoder/make_reference_data.py --reference PATH_TO_CLONE

PATH_TO_CLONE is a clone of https://github.com/facebookresearch/vjepa2 (made with commit c2963a4). Its modules
are imported and run (they need einops), nothing of them is kept. Files written:

- `pretraining.pt`, `action_conditioned.pt`: tiny checkpoints laid out as `vitl.pt` and `vjepa2-ac-vitg.pt`.
- `outputs.npz`: frames, and the layer-normed tokens of the reference for each network of the two.
- `vit{l,h,g}_keys.json`: every key and shape of the encoders at full size.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import timm.layers
import torch
import torch.nn.functional as F
from torch import nn

OUT = Path(__file__).parent / "reference_data"
IMAGE_SIZE = 64
PATCH_SIZE = 8
NUM_FRAMES = 4
# Head dimensions 16 and 22: four channels stay unrotated in both, as in the published ViT-L and ViT-g (64).
TINY = {
    "pretraining": {"embed_dim": 48, "depth": 2, "num_heads": 3, "mlp_ratio": 4.0},
    "action_conditioned": {"embed_dim": 66, "depth": 2, "num_heads": 3, "mlp_ratio": 48 / 11},
}
FULL_SIZE = {"vitl": "vit_large_rope", "vith": "vit_huge_rope", "vitg": "vit_giant_xformers_rope"}
MEAN = torch.tensor([123.675, 116.28, 103.53]).reshape(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).reshape(3, 1, 1)


class Module(nn.Module):
    """Puts `module.` before every name, as DistributedDataParallel does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="clone of facebookresearch/vjepa2")
    sys.path.insert(0, str(parser.parse_args().reference))
    # The name it is imported by upstream is gone from newer timm.
    sys.modules["timm.models.layers"] = timm.layers
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    frames = smooth_frames()
    outputs = {"frames": frames.byte().numpy()}
    outputs |= write_pretraining(frames)
    outputs |= write_action_conditioned(frames)
    np.savez_compressed(OUT / "outputs.npz", **outputs)
    for name, constructor in FULL_SIZE.items():
        write_full_size_keys(name, constructor)


def smooth_frames() -> torch.Tensor:
    coarse = torch.rand(3, 3, 9, 9) * 255
    fine = F.interpolate(coarse, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")
    return (fine + 20 * torch.randn_like(fine)).clamp(0, 255).round()


def encoder(size: dict[str, Any], use_rope: bool = True) -> nn.Module:
    from src.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=(IMAGE_SIZE, IMAGE_SIZE), patch_size=PATCH_SIZE, num_frames=NUM_FRAMES, tubelet_size=2,
        norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6), use_sdpa=False, use_rope=use_rope, **size,
    )  # fmt: skip
    return model.eval()


def enliven(model: nn.Module) -> nn.Module:
    """Weights large enough for attention and biases to be seen in the output; fresh ones hardly are."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5)
    return model


@torch.no_grad()
def tokens(model: nn.Module, frames: torch.Tensor) -> np.ndarray:
    still = ((frames - MEAN) / STD).unsqueeze(2).repeat(1, 1, 2, 1, 1)
    out = model(still)
    return F.layer_norm(out, (out.size(-1),)).numpy()


def write_pretraining(frames: torch.Tensor) -> dict[str, np.ndarray]:
    from src.models.predictor import vit_predictor
    from src.utils.wrappers import MultiSeqWrapper, PredictorMultiSeqWrapper

    size = TINY["pretraining"]
    table = encoder(size, use_rope=False).pos_embed
    networks = {key: enliven(encoder(size)) for key in ("encoder", "target_encoder")}
    outputs = {f"pretraining_{key}": tokens(model, frames) for key, model in networks.items()}
    for model in networks.values():
        model.pos_embed = nn.Parameter(table.detach().clone(), requires_grad=False)
    predictor = vit_predictor(
        img_size=(IMAGE_SIZE, IMAGE_SIZE), patch_size=PATCH_SIZE, num_frames=NUM_FRAMES, tubelet_size=2,
        embed_dim=48, predictor_embed_dim=24, depth=1, num_heads=2, use_mask_tokens=True, num_mask_tokens=2,
        use_rope=True,
    )  # fmt: skip
    states = {key: Module(MultiSeqWrapper(model)).state_dict() for key, model in networks.items()}
    states["predictor"] = Module(PredictorMultiSeqWrapper(predictor)).state_dict()
    torch.save(as_upstream_saves(states, predictor), OUT / "pretraining.pt")
    return outputs


def write_action_conditioned(frames: torch.Tensor) -> dict[str, np.ndarray]:
    from src.models.ac_predictor import vit_ac_predictor

    model = enliven(encoder(TINY["action_conditioned"]))
    predictor = vit_ac_predictor(
        img_size=(IMAGE_SIZE, IMAGE_SIZE), patch_size=PATCH_SIZE, num_frames=NUM_FRAMES, tubelet_size=2,
        embed_dim=66, predictor_embed_dim=24, depth=1, num_heads=2, use_rope=True,
    )  # fmt: skip
    states = {"encoder": Module(model).state_dict(), "predictor": Module(predictor).state_dict()}
    torch.save(as_upstream_saves(states, predictor), OUT / "action_conditioned.pt")
    return {"action_conditioned_encoder": tokens(model, frames)}


def as_upstream_saves(states: dict[str, Any], predictor: nn.Module) -> dict[str, Any]:
    """The entries of `save_checkpoint` in app/vjepa/train.py, with an optimiser that has not stepped."""
    optimiser = torch.optim.AdamW(predictor.parameters())
    rest = {"opt": optimiser.state_dict(), "scaler": None, "epoch": 1, "loss": 0.5}
    return states | rest | {"batch_size": 1, "world_size": 1, "lr": 1e-4}


def write_full_size_keys(name: str, constructor: str) -> None:
    import src.models.vision_transformer as reference
    from src.utils.wrappers import MultiSeqWrapper

    build = getattr(reference, constructor)
    without_rope = getattr(reference, constructor.removesuffix("_rope"))
    size = {"img_size": (256, 256), "num_frames": 64, "tubelet_size": 2}
    # The constructors read numbers out of a linspace, which the meta device has not got.
    on_cpu = partial(torch.linspace, device="cpu")
    with torch.device("meta"), mock.patch.object(torch, "linspace", on_cpu):
        model, earlier = build(**size), without_rope(**size)
    model.pos_embed = earlier.pos_embed
    shapes = {key: list(tensor.shape) for key, tensor in Module(MultiSeqWrapper(model)).state_dict().items()}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(shape)}" for key, shape in shapes.items())
    (OUT / f"{name}_keys.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
