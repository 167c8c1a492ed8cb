"""The encoder of a build, loaded once a process."""

from functools import lru_cache

import torch

from featurize.encoder.registry import FrozenEncoder, load_encoder
from featurize.recipe import Build


@lru_cache(maxsize=1)
def encoder_of(build: Build) -> FrozenEncoder:
    """The frozen encoder that the recipe names, on the build's device. Raises what `load_encoder` raises."""
    return load_encoder(
        build.recipe.encoder,
        weights=build.weights,
        checkpoint_key=build.recipe.checkpoint_key,
        attention=build.attention,
        device=torch.device(build.device or default_device()),
    )


def default_device() -> str:
    """The GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
