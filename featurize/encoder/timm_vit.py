"""Any vision transformer of timm, reduced to its patch tokens.

Shapes: F frames, C colours, H and W pixels, N tokens per frame, D encoder width.
"""

import pickle
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.data.config import resolve_model_data_config
from torch import nn

from featurize.encoder.errors import (
    CheckpointUnreadableError,
    UnsupportedTimmModelError,
    WeightsUnavailableError,
)
from featurize.encoder.spec import TimmSpec
from store_schema.tensor_file import ensure_uncompressed

_LONGEST_REASON = 1000
# What timm, torch, safetensors and pickle raise for a damaged file. TensorFileError is a ValueError.
_TIMM_READ_ERRORS = (
    *(OSError, RuntimeError, ValueError, KeyError, EOFError, AttributeError, TypeError),
    *(pickle.UnpicklingError, SafetensorError),
)


class TimmPatchTokens(nn.Module):
    """A timm model without its head; class, register and distillation tokens are dropped."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        model.reset_classifier(0, "")
        self.model = model

    def forward(self, images_FCHW: torch.Tensor) -> torch.Tensor:
        """Return tokens (F, N, D), float32."""
        tokens = self.model.forward_features(images_FCHW)
        return tokens[:, self.model.num_prefix_tokens :].float()  # type: ignore[no-any-return]

    def cast_compute(self, dtype: torch.dtype) -> None:
        """Let the whole model compute in `dtype`."""
        self.to(dtype)


def is_timm_model(timm_name: str) -> bool:
    """Whether timm has this model (nothing is downloaded)."""
    return bool(timm.is_model(timm_name)) and timm_name.count(":") == 0


def timm_spec(name: str, timm_name: str) -> TimmSpec:
    """Read sizes and pixel statistics off the model, built without memory or weights.

    Raises:
        UnsupportedTimmModelError: the model gives anything but one square grid of patch tokens.
    """
    with torch.device("meta"):
        model = _create(timm_name)
    data = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    _, height_px, width_px = data["input_size"]
    num_tokens, width = _patch_token_shape(model, timm_name, (height_px, width_px))
    grid_size = round(num_tokens**0.5)
    if height_px != width_px or grid_size**2 != num_tokens:
        raise UnsupportedTimmModelError(
            f"timm model '{timm_name}' takes {height_px} x {width_px} pixels and gives {num_tokens} patch "
            "tokens; expected a square image and a square grid. Choose another model."
        )
    return TimmSpec(
        name=name,
        timm_name=timm_name,
        image_size_px=height_px,
        patch_size_px=height_px // grid_size,
        width=width,
        mean_rgb=_times_255(data["mean"]),
        std_rgb=_times_255(data["std"]),
    )


def build_timm(timm_name: str) -> TimmPatchTokens:
    """The network of `timm_name`, weights not loaded."""
    return TimmPatchTokens(_create(timm_name))


def load_timm(timm_name: str, weights: Path | None) -> TimmPatchTokens:
    """The network with timm's published weights (its own cache, or a download), or those of a local file.

    timm compares every key, head included, before the head is dropped.

    Raises:
        WeightsUnavailableError: no file given, none in the cache, no network or nothing published.
        CheckpointUnreadableError: the local file does not hold this model.
    """
    overlay = {} if weights is None else {"state_dict": _read(timm_name, weights)}
    try:
        model = _create(timm_name, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if weights is not None:
            raise CheckpointUnreadableError(
                f"{weights} does not fit timm model '{timm_name}': {str(error)[:_LONGEST_REASON]}"
            ) from error
        raise WeightsUnavailableError(
            f"The weights of timm model '{timm_name}' are neither in timm's cache nor reachable: {error}\n"
            "Go online once, or pass a local file with --weights PATH."
        ) from error
    return TimmPatchTokens(model)


def _read(timm_name: str, weights: Path) -> dict[str, torch.Tensor]:
    """A state dict as timm unwraps it, with no code of the file run, whatever this timm's default is."""
    try:
        ensure_uncompressed(weights)
        state_dict = timm.models.load_state_dict(str(weights), weights_only=True)
    except _TIMM_READ_ERRORS as error:
        reason = str(error)[:_LONGEST_REASON] or type(error).__name__
        if isinstance(error.__cause__ or error, pickle.UnpicklingError):  # torch and timm say how to trust it
            reason = "it is no file of torch.save, or it holds objects that would run code when loaded."
        raise CheckpointUnreadableError(f"{weights} cannot be read as tensors: {reason}") from error
    if not state_dict or not all(isinstance(tensor, torch.Tensor) for tensor in state_dict.values()):
        raise CheckpointUnreadableError(f"{weights} holds no state dict; expected tensors by name.")
    _ensure_real(timm_name, weights, state_dict)
    return state_dict


def _ensure_real(timm_name: str, weights: Path, state_dict: dict[str, torch.Tensor]) -> None:
    with torch.device("meta"):
        wanted = _create(timm_name).state_dict()
    real = {name for name, tensor in wanted.items() if tensor.is_floating_point()}
    integers = [name for name in state_dict if name in real and not state_dict[name].is_floating_point()]
    if integers:
        raise CheckpointUnreadableError(
            f"{weights} holds whole numbers in {len(integers)} tensors, the first is {integers[0]!r}; "
            "expected the weights before any quantisation."
        )


def _create(timm_name: str, **options: Any) -> nn.Module:
    try:
        return timm.create_model(timm_name, **options)
    except RuntimeError as error:
        if "Invalid pretrained tag" not in str(error):
            raise
        known = ", ".join(timm.list_pretrained(f"{timm_name.split('.')[0]}.*"))
        raise UnsupportedTimmModelError(f"{error} timm has {known}.") from error


def _patch_token_shape(model: nn.Module, timm_name: str, image_size_px: tuple[int, int]) -> tuple[int, int]:
    num_prefix_tokens = getattr(model, "num_prefix_tokens", None)
    if num_prefix_tokens is None:
        raise UnsupportedTimmModelError(_not_a_vit(timm_name, "no patch tokens"))
    shape = TimmPatchTokens(model)(torch.empty(1, 3, *image_size_px, device="meta")).shape
    if len(shape) != 3:
        raise UnsupportedTimmModelError(_not_a_vit(timm_name, f"features of shape {tuple(shape)}"))
    return shape[1], shape[2]


def _not_a_vit(timm_name: str, got: str) -> str:
    return (
        f"timm model '{timm_name}' gives {got}; expected a vision transformer with tokens (frame, token, "
        "channel). Choose one of timm's vit_*, deit*, beit*, eva* models."
    )


def _times_255(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red * 255, green * 255, blue * 255
