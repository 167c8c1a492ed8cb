"""The encoder of a build, loaded once a process."""

from functools import lru_cache

import torch

from featurize.encoder.load import default_dtype
from featurize.encoder.registry import FrozenEncoder, load_encoder
from featurize.recipe import Build
from store_schema.store import Store


def encoder_of(build: Build) -> FrozenEncoder:
    """The frozen encoder that the recipe names, on the build's device. Raises what `load_encoder` raises."""
    return _loaded(build, default_dtype(_device(build)))


def encoder_as_planned(build: Build, store: Store) -> FrozenEncoder:
    """The same in the dtype that the store was planned for, be it on another device."""
    return _loaded(build, getattr(torch, store.attributes.fingerprint.encoder.compute_dtype))


@lru_cache(maxsize=1)
def _loaded(build: Build, dtype: torch.dtype) -> FrozenEncoder:
    return load_encoder(
        build.recipe.encoder,
        weights=build.weights,
        checkpoint_key=build.recipe.checkpoint_key,
        attention=build.attention,
        device=_device(build),
        dtype=dtype,
    )


def _device(build: Build) -> torch.device:
    return torch.device(build.device or default_device())


def default_device() -> str:
    """The GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
