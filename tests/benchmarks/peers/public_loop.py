"""The public V-JEPA 2-AC loop, put together from the modules of a clone of facebookresearch/vjepa2.

Its `train_step` is a closure inside `main`, so it cannot be imported: the step below calls their encoder,
predictor, optimiser, schedules and scaler in the order of `app/vjepa_droid/train.py`. `run_their_main` runs
`main` itself.

Legend: B clips, C colours, T frames, H and W pixels, S tokens of all frames of a clip, D encoder width, A
action size.
"""

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import LayerNorm
from torch.nn import functional as F

IMAGE_SIZE_PX = 256
PATCH_SIZE_PX = 16
TUBELET_FRAMES = 2
TOKENS_PER_FRAME = (IMAGE_SIZE_PX // PATCH_SIZE_PX) ** 2
PUBLISHED_MASK_FRAMES = 512


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Encoder and predictor, the same on both sides."""

    encoder_width: int
    encoder_depth: int
    encoder_heads: int
    encoder_mlp_ratio: float
    width: int
    depth: int
    num_heads: int


SMALL = Sizes(
    encoder_width=192,
    encoder_depth=6,
    encoder_heads=3,
    encoder_mlp_ratio=4.0,
    width=192,
    depth=4,
    num_heads=3,
)
# Attention weighs more in a narrow predictor: with this encoder its part of the FLOPs at 16 frames is that at
# full size, two thirds of the predictor's.
BALANCED = replace(SMALL, encoder_width=320, encoder_depth=10, encoder_heads=5)
FULL = Sizes(
    encoder_width=1408,
    encoder_depth=40,
    encoder_heads=22,
    encoder_mlp_ratio=48 / 11,
    width=1024,
    depth=24,
    num_heads=16,
)


SIZES: Mapping[str, Sizes] = MappingProxyType({"small": SMALL, "balanced": BALANCED, "full": FULL})


@dataclass(frozen=True, kw_only=True)
class PublicSettings:
    """How their loop runs.

    mask_frames: of the predictor's boolean mask, 512 in `main`. checkpointing: of activations, on in their
    file of settings. compiled: their `compile_model`. precision: None for float32.
    """

    mask_frames: int
    checkpointing: bool
    compiled: bool
    precision: torch.dtype | None


def use_clone(clone: Path) -> None:
    """Make `app` and `src` of the clone importable; their warnings of old names are theirs."""
    if not (clone / "app" / "vjepa_droid").is_dir():
        raise SystemExit(f"{clone} is no clone of facebookresearch/vjepa2: it has no app/vjepa_droid.")
    sys.path.insert(0, str(clone))
    warnings.simplefilter("ignore", FutureWarning)
    warnings.filterwarnings("ignore", message=".*sdp_kernel.*")


class PublicLoop:
    """Encoder, predictor, optimiser and schedules as `main` makes them, for a run of `steps` updates."""

    def __init__(self, sizes: Sizes, settings: PublicSettings, device: torch.device, *, steps: int) -> None:
        from app.vjepa_droid.utils import init_opt

        self.device, self.settings = device, settings
        self.learning_rates: list[float] = []
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        self.encoder = their_encoder(sizes, settings).to(device)
        self.predictor = _their_predictor(sizes, settings).to(device)
        if settings.compiled:
            self.encoder.compile()
            self.predictor.compile()
        # One epoch is one update here, so that warm-up and decay are whole numbers of updates.
        self.optimiser, self.scaler, self.schedule, self.decay_schedule = init_opt(
            encoder=self.encoder,
            predictor=self.predictor,
            iterations_per_epoch=1,
            num_epochs=steps,
            warmup=steps // 6,
            anneal=steps // 6,
            start_lr=7.5e-5,
            ref_lr=4.25e-4,
            final_lr=0.0,
            wd=0.04,
            final_wd=0.04,
            mixed_precision=settings.precision is not None,
        )

    def start_from(self, predictor: dict[str, Tensor]) -> None:
        """Take over the weights of another predictor of theirs."""
        self.predictor.load_state_dict(predictor)

    def encode(self, clips_BCTHW: Tensor) -> Tensor:
        """Every frame by itself, doubled to fill a tubelet, layer-normed: (B, S, D)."""
        batch, frames = clips_BCTHW.shape[0], clips_BCTHW.shape[2]
        with torch.no_grad():
            stills = clips_BCTHW.permute(0, 2, 1, 3, 4).flatten(0, 1).unsqueeze(2)
            tokens = self.encoder(stills.repeat(1, 1, TUBELET_FRAMES, 1, 1))
            tokens_BSD = tokens.view(batch, frames * TOKENS_PER_FRAME, tokens.shape[-1])
            return F.layer_norm(tokens_BSD, tokens_BSD.shape[-1:])

    def step_from_frames(self, clips_BCTHW: Tensor, actions_BTA: Tensor, states_BTA: Tensor) -> float:
        """One update, frames encoded on the way; the loss before it."""
        return self._step(lambda: self.encode(clips_BCTHW), actions_BTA, states_BTA)

    def step_from_latents(self, latents_BSD: Tensor, actions_BTA: Tensor, states_BTA: Tensor) -> float:
        """One update from latents that are there already: what is left of their step without its encoder."""
        return self._step(lambda: latents_BSD, actions_BTA, states_BTA)

    def _step(self, latents: Any, actions_BTA: Tensor, states_BTA: Tensor) -> float:
        self.learning_rates.append(self.schedule.step())
        self.decay_schedule.step()
        precision = self.settings.precision
        with torch.autocast(self.device.type, dtype=precision, enabled=precision is not None):
            latents_BSD = latents()
            forced_BSD, rolled_BSD = self._predict(latents_BSD, actions_BTA, states_BTA)
            loss = _mean_error(forced_BSD, latents_BSD) + _mean_error(rolled_BSD, latents_BSD)
        self._update(loss)
        return float(loss.detach())

    def _predict(self, latents_BSD: Tensor, actions_BTA: Tensor, states_BTA: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing over the clip, and a rollout of two steps."""
        first = latents_BSD[:, :TOKENS_PER_FRAME]
        forced = self._next(latents_BSD[:, :-TOKENS_PER_FRAME], actions_BTA, states_BTA[:, :-1])
        seen = torch.cat([first, forced[:, :TOKENS_PER_FRAME]], dim=1)
        second = self._next(seen, actions_BTA[:, :2], states_BTA[:, :2])[:, -TOKENS_PER_FRAME:]
        return forced, torch.cat([seen[:, TOKENS_PER_FRAME:], second], dim=1)

    def _next(self, latents_BSD: Tensor, actions_BTA: Tensor, states_BTA: Tensor) -> Tensor:
        predicted = self.predictor(latents_BSD, actions_BTA, states_BTA, None)
        return F.layer_norm(predicted, predicted.shape[-1:])

    def _update(self, loss: Tensor) -> None:
        if self.scaler is None:
            loss.backward()
            self.optimiser.step()
        else:
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimiser)
            self.scaler.step(self.optimiser)
            self.scaler.update()
        self.optimiser.zero_grad()


def _mean_error(predicted_BSD: Tensor, latents_BSD: Tensor) -> Tensor:
    following_BSD = latents_BSD[:, TOKENS_PER_FRAME : TOKENS_PER_FRAME + predicted_BSD.shape[1]]
    return torch.mean(torch.abs(predicted_BSD - following_BSD))


def their_encoder(sizes: Sizes, settings: PublicSettings) -> Any:
    """Their encoder, weights drawn."""
    from src.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=IMAGE_SIZE_PX,
        patch_size=PATCH_SIZE_PX,
        num_frames=settings.mask_frames,
        tubelet_size=TUBELET_FRAMES,
        **encoder_sizes(sizes),
        uniform_power=True,
        use_sdpa=True,
        use_rope=True,
        use_activation_checkpointing=settings.checkpointing,
    )


def encoder_sizes(sizes: Sizes) -> dict[str, Any]:
    """What their functions for named sizes fill in."""
    return {
        "embed_dim": sizes.encoder_width,
        "depth": sizes.encoder_depth,
        "num_heads": sizes.encoder_heads,
        "mlp_ratio": sizes.encoder_mlp_ratio,
        "qkv_bias": True,
        "norm_layer": partial(LayerNorm, eps=1e-6),
    }


def _their_predictor(sizes: Sizes, settings: PublicSettings) -> Any:
    from src.models.ac_predictor import vit_ac_predictor

    return vit_ac_predictor(
        img_size=IMAGE_SIZE_PX,
        patch_size=PATCH_SIZE_PX,
        num_frames=settings.mask_frames,
        tubelet_size=TUBELET_FRAMES,
        embed_dim=sizes.encoder_width,
        predictor_embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.num_heads,
        uniform_power=True,
        use_rope=True,
        use_activation_checkpointing=settings.checkpointing,
    )
