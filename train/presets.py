"""Named predictors and how each is trained by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from train.predictor import Head, PredictorConfig
from train.schedule import PUBLISHED_SCHEDULE, WarmupConstantDecay

__all__ = ["PRESETS", "LatentShape", "Preset", "PresetShapeError", "TrainingDefaults", "UnknownPresetError"]
__all__ += ["PredictorConfig", "find_preset", "preset"]


class UnknownPresetError(ValueError):
    """No preset has this name."""


class PresetShapeError(ValueError):
    """A preset is bound to other latents than the store's."""


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """What a store holds for one frame: a grid of tokens and their width."""

    grid_height: int
    grid_width: int
    encoder_width: int

    def __str__(self) -> str:
        return f"{self.grid_height} x {self.grid_width} tokens of width {self.encoder_width}"


@dataclass(frozen=True, kw_only=True)
class TrainingDefaults:
    """How a preset is trained where nothing else is asked for."""

    schedule: WarmupConstantDecay
    batch_clips: int
    """Clips of one update, over all devices and accumulated parts."""
    clip_frames: int = 16
    rollout_steps: int = 2
    weight_decay: float = 0.04


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A predictor for whatever latents a store has, or, with `any_latent_shape` False, for its own."""

    name: str
    width: int
    depth: int
    num_heads: int
    head: Head
    latent_shape: LatentShape
    """The shape it is bound to; for the others, the shape that `describe` counts with."""
    any_latent_shape: bool
    standardises_inputs: bool
    """Whether actions and states are standardised by the statistics of the store's training split."""
    training: TrainingDefaults

    def config(self, latent_shape: LatentShape) -> PredictorConfig:
        """The predictor for latents of this shape; raises PresetShapeError where bound to another."""
        if not self.any_latent_shape and latent_shape != self.latent_shape:
            raise PresetShapeError(
                f"Preset '{self.name}' is built for {self.latent_shape}, the store holds {latent_shape}. "
                "Use a store encoded with vjepa2-vitg at 256 px, or the preset 'medium', which takes any."
            )
        return PredictorConfig(
            grid_height=latent_shape.grid_height,
            grid_width=latent_shape.grid_width,
            encoder_width=latent_shape.encoder_width,
            width=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            head=self.head,
        )


# Of the random encoder: with more tokens, two cores learn too slowly to show anything.
_TINY_LATENTS = LatentShape(grid_height=4, grid_width=4, encoder_width=96)

_DEMO = Preset(
    name="demo",
    width=128,
    depth=4,
    num_heads=4,
    head="residual",
    latent_shape=_TINY_LATENTS,
    any_latent_shape=True,
    standardises_inputs=True,
    training=TrainingDefaults(
        schedule=replace(PUBLISHED_SCHEDULE, lr_start=1e-4, lr_peak=1e-3).scaled(650),
        batch_clips=16,
        clip_frames=8,
    ),
)

_SMALL = Preset(
    name="small",
    width=192,
    depth=4,
    num_heads=6,
    head="residual",
    latent_shape=_TINY_LATENTS,
    any_latent_shape=True,
    standardises_inputs=True,
    training=TrainingDefaults(
        schedule=replace(PUBLISHED_SCHEDULE, lr_start=1e-4, lr_peak=1e-3).scaled(3000),
        batch_clips=64,
        clip_frames=4,
    ),
)

_MEDIUM = Preset(
    name="medium",
    width=384,
    depth=8,
    num_heads=6,
    head="residual",
    latent_shape=_TINY_LATENTS,
    any_latent_shape=True,
    standardises_inputs=True,
    training=TrainingDefaults(schedule=PUBLISHED_SCHEDULE.scaled(10_000), batch_clips=64),
)

_VJEPA2_AC = Preset(
    name="vjepa2-ac",
    width=1024,
    depth=24,
    num_heads=16,
    head="absolute",
    latent_shape=LatentShape(grid_height=16, grid_width=16, encoder_width=1408),
    any_latent_shape=False,
    standardises_inputs=False,
    training=TrainingDefaults(schedule=PUBLISHED_SCHEDULE, batch_clips=256),
)

_ALL = (_DEMO, _SMALL, _MEDIUM, _VJEPA2_AC)
PRESETS: Mapping[str, Preset] = MappingProxyType({entry.name: entry for entry in _ALL})


def find_preset(name: str) -> Preset:
    """The preset of this name; raises UnknownPresetError, which lists those there are."""
    if name not in PRESETS:
        raise UnknownPresetError(
            f"There is no predictor preset '{name}'; choose one of {', '.join(PRESETS)}."
        )
    return PRESETS[name]


def preset(name: str, grid_height: int, grid_width: int, encoder_width: int) -> PredictorConfig:
    """The named predictor for a store's latents; raises UnknownPresetError or PresetShapeError."""
    shape = LatentShape(grid_height=grid_height, grid_width=grid_width, encoder_width=encoder_width)
    return find_preset(name).config(shape)
