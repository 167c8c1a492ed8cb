"""Hugging Face transformers' VJEPA2Model (sdpa attention) against our encoder at equal weights.

Weights are drawn once, saved by transformers and loaded by ours from that file. Both encode the same
frames, each by itself (theirs doubles every frame, as a tubelet of two wants it), and outputs are compared.

    python tests/benchmarks/peers/encoders.py --model small --threads 1
    python tests/benchmarks/peers/encoders.py --model vitl --frames 1 --rounds 3
    python tests/benchmarks/peers/encoders.py --device cuda --model vitg --frames 64

Legend: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from measuring import add_common_arguments, alternate, faster, finish, wait_for
from torch import Tensor
from torch.nn import functional as F
from transformers import VJEPA2Config, VJEPA2Model

from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.frozen import FrozenEncoder
from featurize.encoder.load import load_encoder
from featurize.encoder.spec import Vjepa2Spec

_TUBELET_FRAMES = 2
_SMALL = Vjepa2Spec(name="small", image_size_px=256, patch_size_px=16, width=384, depth=12, num_heads=6)


def main() -> None:
    """Draw weights, load them twice, compare outputs, measure, print."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    spec, device = _spec(options.model), torch.device(options.device)
    ours, theirs = _same_weights(spec, device)
    if options.their_compile:
        theirs.compile()
    encode = {"ours": ours.encode, "theirs": partial(_encode_with_theirs, theirs, ours)}
    frames_FCHW = torch.rand(options.frames, 3, spec.image_size_px, spec.image_size_px, device=device) * 255
    difference = (encode["ours"](frames_FCHW) - encode["theirs"](frames_FCHW)).abs()
    measures = {name: partial(_seconds, function, frames_FCHW) for name, function in encode.items()}
    seconds = alternate(measures, rounds=options.rounds, warm_up=2)
    row = faster(f"{spec.name}, {options.frames} frames a call", seconds["ours"], seconds["theirs"])
    facts = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} CPU cores",
        "threads": options.threads,
        "dtype": ours.dtype,
        "transformers": f"{transformers.__version__}, attention {theirs.config._attn_implementation}",
        "largest difference of layer-normed latents": f"{difference.max().item():.1e}",
        "mean difference": f"{difference.mean().item():.1e}",
    }
    finish("Encoders at equal weights", [row], facts, options.json)


def _same_weights(spec: Vjepa2Spec, device: torch.device) -> tuple[FrozenEncoder, Any]:
    """Our encoder from the file that theirs was saved to, both in the precision that ours has by default."""
    theirs = _their_model(spec)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = load_encoder(spec, weights=Path(folder), device=device)
    return ours, theirs.to(device=device, dtype=ours.dtype)


def _their_model(spec: Vjepa2Spec) -> Any:
    torch.manual_seed(0)
    config = VJEPA2Config(
        patch_size=spec.patch_size_px,
        crop_size=spec.image_size_px,
        frames_per_clip=_TUBELET_FRAMES,
        tubelet_size=_TUBELET_FRAMES,
        hidden_size=spec.width,
        num_attention_heads=spec.num_heads,
        num_hidden_layers=spec.depth,
        mlp_ratio=spec.mlp_ratio,
        # Their predictor is no part of this; the smallest that can be built.
        pred_hidden_size=24,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
        pred_num_mask_tokens=2,
        attn_implementation="sdpa",
    )
    return VJEPA2Model(config).eval()


@torch.inference_mode()
def _encode_with_theirs(model: Any, ours: FrozenEncoder, frames_FCHW: Tensor) -> Tensor:
    """The same preparation as ours, and their network on every frame, twice as a tubelet wants it."""
    mean, std = (torch.tensor(values, device=ours.device).reshape(3, 1, 1) for values in _scaling(ours))
    images_FCHW = ((frames_FCHW - mean) / std).to(ours.dtype)
    pixels = images_FCHW.unsqueeze(1).expand(-1, _TUBELET_FRAMES, -1, -1, -1)
    tokens_FND = model(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state
    return F.layer_norm(tokens_FND.float(), tokens_FND.shape[-1:])


def _scaling(ours: FrozenEncoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return ours.spec.mean_rgb, ours.spec.std_rgb


def _seconds(encode: Callable[[Tensor], Tensor], frames_FCHW: Tensor) -> float:
    wait_for(frames_FCHW.device)
    started = time.perf_counter()
    encode(frames_FCHW)
    wait_for(frames_FCHW.device)
    return time.perf_counter() - started


def _spec(name: str) -> Vjepa2Spec:
    spec = _SMALL if name == "small" else encoder_spec(f"vjepa2-{name}")
    assert isinstance(spec, Vjepa2Spec), "the choices are V-JEPA 2 encoders"
    return spec


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["small", "vitl", "vith", "vitg"], default="small")
    parser.add_argument("--frames", type=int, default=8, help="frames of a call")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--their-compile", action="store_true", help="torch.compile over theirs")
    add_common_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
