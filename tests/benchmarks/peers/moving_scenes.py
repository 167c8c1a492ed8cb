"""Trajectories of drawn frames, and the store that our encoder makes of them with the public weights.

Legend: F frames, C colours, H and W pixels, A action and state size (7).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from public_loop import IMAGE_SIZE_PX, PATCH_SIZE_PX, Sizes
from small_store import random_motion, write_store
from torch import Tensor
from torch.nn import functional as F

from featurize.encoder.frozen import FrozenEncoder
from featurize.encoder.load import load_encoder
from featurize.encoder.spec import IMAGENET_MEAN, IMAGENET_STD, Vjepa2Spec
from store_schema.format import SLOT_FRAMES, LatentShape
from store_schema.layout import FrameArrays
from store_schema.quantisation import ChannelStatistics, quantise
from store_schema.store import Store

_PIXELS_PER_METRE = 400


@dataclass(frozen=True, kw_only=True)
class MovingScene:
    """A drawn picture that shifts by the x and y of its states."""

    frames_FCHW: Tensor
    """uint8."""
    states_FA: NDArray[np.float32]
    actions_FA: NDArray[np.float32]
    """NaN at the last frame."""


def draw_scenes(*, num_scenes: int, num_frames: int, seed: int = 0) -> list[MovingScene]:
    """So that the change from frame to frame follows from the action and there is something to learn."""
    rng = np.random.default_rng(seed)
    return [_draw(rng, num_frames) for _ in range(num_scenes)]


def _draw(rng: np.random.Generator, num_frames: int) -> MovingScene:
    states_FA, actions_FA = random_motion(rng, num_frames)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 12, 12)).astype(np.float32))
    picture_CHW = (
        F.interpolate(coarse, (IMAGE_SIZE_PX, IMAGE_SIZE_PX), mode="bicubic")[0].clamp(0, 255).byte()
    )
    shifts = (states_FA[:, :2] * _PIXELS_PER_METRE).round().astype(int).tolist()
    frames = [torch.roll(picture_CHW, (down, right), (1, 2)) for down, right in shifts]
    return MovingScene(frames_FCHW=torch.stack(frames), states_FA=states_FA, actions_FA=actions_FA)


def our_encoder(
    weights: dict[str, Tensor], sizes: Sizes, folder: Path, device: torch.device
) -> FrozenEncoder:
    """Our encoder, strictly loaded from a checkpoint of theirs."""
    path = folder / "encoder.pt"
    named = {f"module.backbone.{name}": tensor.cpu() for name, tensor in weights.items()}
    torch.save({"target_encoder": named}, path)
    spec = Vjepa2Spec(
        name="benchmark",
        image_size_px=IMAGE_SIZE_PX,
        patch_size_px=PATCH_SIZE_PX,
        width=sizes.encoder_width,
        depth=sizes.encoder_depth,
        num_heads=sizes.encoder_heads,
        mlp_ratio=sizes.encoder_mlp_ratio,
    )
    return load_encoder(spec, weights=path, device=device)


def store_of(scenes: list[MovingScene], encoder: FrozenEncoder, path: Path) -> Store:
    """Every scene is a trajectory and a slot; frame t of scene s has the address 128 s + t."""
    latents = [encoder.encode(scene.frames_FCHW.float()).cpu() for scene in scenes]
    statistics = ChannelStatistics.over(latents)

    def arrays_of(number: int) -> FrameArrays:
        codes_FND, scale_FN = quantise(latents[number], statistics)
        scene = scenes[number]
        return {
            "latents": codes_FND.numpy(),
            "token_scale": scale_FN.numpy(),
            "states": scene.states_FA,
            "actions": scene.actions_FA,
        }

    return write_store(
        path,
        latent_shape=LatentShape(num_tokens=encoder.spec.num_tokens, width=encoder.spec.width),
        frames_of_trajectories=[len(scene.states_FA) for scene in scenes],
        statistics=statistics,
        arrays_of=arrays_of,
    )


def their_sample(
    scenes: list[MovingScene], first_frame_B: NDArray[np.int64], num_frames: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The same clips as their loader gives them: frames (B, C, T, H, W) standardised, actions and states."""
    clips, actions, states = [], [], []
    for address in first_frame_B.tolist():
        number, first = divmod(address, SLOT_FRAMES)
        scene, last = scenes[number], first + num_frames
        clips.append(scene.frames_FCHW[first:last].transpose(0, 1).float())
        actions.append(torch.from_numpy(scene.actions_FA[first : last - 1]))
        states.append(torch.from_numpy(scene.states_FA[first:last]))
    mean, std = (torch.tensor(values).reshape(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (torch.stack(clips) - mean) / std, torch.stack(actions), torch.stack(states)
