"""The encoders by name."""

import difflib
from dataclasses import replace
from typing import Final

from featurize.encoder.errors import UnknownEncoderError
from featurize.encoder.spec import EncoderSpec, OfficialFile, RandomVitSpec, Vjepa2Spec
from featurize.encoder.timm_vit import is_timm_model, timm_spec

DEFAULT_ENCODER: Final = "vit-tiny-random"
TIMM_PREFIX: Final = "timm:"
OFFICIAL_URL: Final = "https://dl.fbaipublicfiles.com/vjepa2"


def encoder_spec(name: str) -> EncoderSpec:
    """Look an encoder up: one of `encoder_names()`, or `timm:NAME` for any vision transformer of timm.

    Raises:
        UnknownEncoderError: no such encoder; the message lists what exists.
        UnsupportedTimmModelError: timm has the model, but it gives no square grid of patch tokens.
    """
    if name in _SPECS:
        return _SPECS[name]
    timm_name = name.removeprefix(TIMM_PREFIX)
    if timm_name != name and is_timm_model(timm_name):
        return timm_spec(name, timm_name)
    raise UnknownEncoderError(_unknown(name))


def encoder_names() -> tuple[str, ...]:
    """Names of the encoders that come with Permafrost; timm's are not listed."""
    return tuple(_SPECS)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _SPECS, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return (
        f"There is no encoder '{name}'.{hint} Choose one of {', '.join(_SPECS)}, or {TIMM_PREFIX}NAME with "
        f"the name of a vision transformer of timm, such as {TIMM_PREFIX}vit_small_patch16_224."
    )


def _official(file_name: str, *checkpoint_keys: str) -> OfficialFile:
    return OfficialFile(url=f"{OFFICIAL_URL}/{file_name}", checkpoint_keys=checkpoint_keys)


def _vjepa2(letter: str, *, width: int, depth: int, num_heads: int, mlp_ratio: float = 4.0) -> Vjepa2Spec:
    return Vjepa2Spec(
        name=f"vjepa2-vit{letter}",
        image_size_px=256,
        patch_size_px=16,
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        official=_official(f"vit{letter}.pt", "target_encoder", "encoder"),
    )


# vit_large, vit_huge and vit_giant_xformers of src/models/vision_transformer.py in facebookresearch/vjepa2.
_VITL = _vjepa2("l", width=1024, depth=24, num_heads=16)
_VITH = _vjepa2("h", width=1280, depth=32, num_heads=16)
_VITG = _vjepa2("g", width=1408, depth=40, num_heads=22, mlp_ratio=48 / 11)
_AC_VITG = replace(_VITG, name="vjepa2-ac-vitg", official=_official("vjepa2-ac-vitg.pt", "encoder"))

# Small enough to encode the demo in seconds, few enough tokens for a predictor to learn in two minutes.
_TINY = RandomVitSpec(
    name=DEFAULT_ENCODER, image_size_px=64, patch_size_px=16, width=96, depth=3, num_heads=3, seed=0
)

_SPECS: Final[dict[str, EncoderSpec]] = {spec.name: spec for spec in (_TINY, _VITL, _VITH, _VITG, _AC_VITG)}
