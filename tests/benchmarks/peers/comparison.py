"""Both sides of `vjepa_droid.py` at one clip length: same weights, same clips, same learning rates.

Legend: B clips, S tokens of all frames of a clip, A action and state size (7).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Row, alternate, faster, wait_for
from moving_scenes import MovingScene, draw_scenes, our_encoder, store_of, their_sample
from numpy.typing import NDArray
from public_loop import (
    PUBLISHED_MASK_FRAMES,
    SIZES,
    TUBELET_FRAMES,
    PublicLoop,
    PublicSettings,
    Sizes,
)
from public_main import run_their_main
from torch import Tensor

from store_schema.format import SLOT_FRAMES
from store_schema.store import Store
from train.assembly import named_losses
from train.clips import Clips
from train.compiling import compile_for_training
from train.official import from_official
from train.optimiser import build_adamw
from train.predictor import Predictor, PredictorConfig
from train.recipe_defaults import recipe_for
from train.schedule import WarmupConstantDecay
from train.stream import StoreClips
from train.update import update

OURS, THEIRS, HALF = "ours", "theirs", "theirs, without its encoder"
_SCENES, _SCENE_FRAMES = 12, 24
_NOMINAL_FPS, _SPAN_FRAMES = 60, 80


@dataclass(kw_only=True)
class _Ours:
    """Our predictor from the public weights, over clips of the store."""

    predictor: Predictor
    optimiser: torch.optim.Optimizer
    losses_of: Callable[[Clips], Any]
    clips: Iterator[Clips]
    schedule: WarmupConstantDecay
    step: int = 0

    def update(self) -> float:
        """One update as `train.loop` makes it; the loss before it."""
        result = update(
            self.predictor,
            self.optimiser,
            self.losses_of,
            self.clips,
            micro_batches=1,
            step=self.step,
            learning_rate=self.schedule.learning_rate(self.step),
        )
        self.step += 1
        return result.losses["loss"]


@dataclass(kw_only=True)
class Comparison:
    """Both sides at one clip length, and the losses that they gave."""

    options: argparse.Namespace
    frames: int
    sizes: Sizes
    device: torch.device
    scenes: list[MovingScene]
    store: Store
    theirs: PublicLoop
    half: PublicLoop
    ours: Predictor
    first_frames: list[NDArray[np.int64]]
    losses: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def prepare(cls, options: argparse.Namespace, frames: int, folder: Path) -> "Comparison":
        """Same weights, same clips: the public modules draw the weights, and ours load them strictly."""
        device, sizes = torch.device(options.device), SIZES[options.size]
        loop = partial(PublicLoop, sizes, _settings(options, frames), device, steps=options.rounds)
        theirs, half = loop(), loop()
        weights = theirs.predictor.state_dict()
        half.start_from(weights)
        ours = Predictor(_config(sizes)).to(device)
        ours.load_state_dict(from_official(weights, _config(sizes)))
        compile_for_training(ours, device)
        scenes = draw_scenes(num_scenes=_SCENES, num_frames=_SCENE_FRAMES)
        encoder = our_encoder(theirs.encoder.state_dict(), sizes, folder, device)
        return cls(
            options=options,
            frames=frames,
            sizes=sizes,
            device=device,
            scenes=scenes,
            store=store_of(scenes, encoder, folder / "latents.zarr"),
            theirs=theirs,
            half=half,
            ours=ours,
            first_frames=_draw(options, frames),
        )

    def rows(self) -> list[Row]:
        """Alternate the updates of all sides, and compare."""
        self.losses = {}
        with ExitStack() as opened:
            ours = self._open_ours(opened)
            stored = opened.enter_context(self._clips())
            measures = {
                OURS: partial(self._timed, OURS, ours.update),
                THEIRS: self._their_updates(),
                HALF: self._half_updates(stored),
            }
            seconds = alternate(measures, rounds=self.options.rounds, warm_up=0)
        what = f"{self.frames} frames, batch {self.options.batch}"
        return [
            # The first update of each side finds no memory and, on a GPU, no kernels prepared.
            faster(f"{what}: {name}", seconds[OURS][1:], seconds[name][1:])
            for name in measures
            if name != OURS
        ]

    def differences(self) -> dict[str, str]:
        """How far apart the two sides are, over all updates."""
        rates = [_schedule(self.options.rounds).learning_rate(step) for step in range(self.options.rounds)]
        return {
            f"{self.frames} frames, largest relative difference of {what}": f"{_apart(ours, theirs):.1e}"
            for what, ours, theirs in (
                ("the losses from the same latents", self.losses[OURS], self.losses[HALF]),
                ("the losses, theirs encoding, ours stored", self.losses[OURS], self.losses[THEIRS]),
                ("the learning rates", rates, self.theirs.learning_rates),
            )
        }

    def their_main_row(self, folder: Path) -> Row:
        """Their whole script over video files, and an update of ours after each of its own."""
        options = self.options
        seconds: list[float] = []
        with ExitStack() as opened:
            ours = self._open_ours(opened)
            theirs = run_their_main(
                _paths_csv(options.videos, folder),
                folder,
                self.sizes,
                _settings(options, self.frames),
                self.device,
                batch=options.batch,
                frames=self.frames,
                fps=self._fps,
                steps=options.rounds,
                workers=options.workers,
                between=lambda: seconds.append(self._timed("ours, beside their main()", ours.update)),
            )
        # The first iteration of theirs waits for workers to start.
        what = f"{self.frames} frames, batch {options.batch}: their main() over videos"
        return faster(what, seconds[1:], theirs[1:])

    def _open_ours(self, opened: ExitStack) -> _Ours:
        recipe = recipe_for(
            "vjepa2-ac", clip_frames=self.frames, batch_clips=self.options.batch, micro_batch_clips=None
        )
        return _Ours(
            predictor=self.ours,
            optimiser=build_adamw(self.ours),
            losses_of=named_losses(recipe, self.ours, self.device),
            clips=opened.enter_context(self._clips()),
            schedule=_schedule(self.options.rounds),
        )

    def _clips(self) -> Any:
        supply = StoreClips(store=self.store, device=self.device)
        return supply.stream(iter(self.first_frames), clip_frames=self.frames, max_clips=self.options.batch)

    def _their_updates(self) -> Callable[[], float]:
        samples = (
            their_sample(self.scenes, first_frame_B, self.frames) for first_frame_B in self.first_frames
        )

        def measure() -> float:
            # Their loader works in other processes: before the clock starts all is there, and pinned.
            sample = next(samples)
            if self.device.type == "cuda":
                sample = tuple(values.pin_memory() for values in sample)
            return self._timed(THEIRS, lambda: self._from_frames(sample))

        return measure

    def _half_updates(self, stored: Iterator[Clips]) -> Callable[[], float]:
        def measure() -> float:
            clips = next(stored)
            latents_BSD = clips.latents_BTND.flatten(1, 2)
            step = partial(self.half.step_from_latents, latents_BSD, clips.actions_BTA, clips.states_BTA)
            return self._timed(HALF, step)

        return measure

    def _from_frames(self, sample: tuple[Tensor, ...]) -> float:
        clips, actions, states = sample
        there = partial(torch.Tensor.to, device=self.device, dtype=torch.float32, non_blocking=True)
        return self.theirs.step_from_frames(there(clips), there(actions), there(states))

    def _timed(self, name: str, one_update: Callable[[], float]) -> float:
        """Seconds of an update, all of its work on the device included."""
        wait_for(self.device)
        started = time.perf_counter()
        loss = one_update()
        wait_for(self.device)
        seconds = time.perf_counter() - started
        self.losses.setdefault(name, []).append(loss)
        return seconds

    @property
    def _fps(self) -> float:
        """Their loader takes every ceil(60 / fps)-th frame: clips then span 80, which the samples have."""
        return _NOMINAL_FPS / (_SPAN_FRAMES // self.frames)


def _settings(options: argparse.Namespace, frames: int) -> PublicSettings:
    on_gpu = options.device.startswith("cuda")
    return PublicSettings(
        mask_frames=PUBLISHED_MASK_FRAMES if options.published_mask else TUBELET_FRAMES * frames,
        checkpointing=options.checkpointing,
        compiled=options.their_compile,
        precision=torch.bfloat16 if on_gpu else None,
    )


def _config(sizes: Sizes) -> PredictorConfig:
    return PredictorConfig(
        grid_height=16,
        grid_width=16,
        encoder_width=sizes.encoder_width,
        width=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.num_heads,
        head="absolute",
    )


def _schedule(steps: int) -> WarmupConstantDecay:
    warmup, decay = steps // 6, steps // 6
    return WarmupConstantDecay(
        lr_start=7.5e-5,
        lr_peak=4.25e-4,
        lr_end=0.0,
        warmup_steps=warmup,
        constant_steps=steps - warmup - decay,
        decay_steps=decay,
    )


def _draw(options: argparse.Namespace, frames: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    shape = (options.rounds, options.batch)
    starts = rng.integers(0, _SCENE_FRAMES - frames + 1, shape)
    return list(rng.integers(0, _SCENES, shape) * SLOT_FRAMES + starts)


def _paths_csv(videos: Path, folder: Path) -> Path:
    """Their list of episodes: a folder a line."""
    path = folder / "episodes.csv"
    episodes = sorted(found.parent for found in videos.resolve().rglob("trajectory.h5"))
    path.write_text("".join(f"{episode}\n" for episode in episodes))
    return path


def _apart(ours: list[float], theirs: list[float]) -> float:
    return max(abs(o - t) / max(abs(t), 1e-12) for o, t in zip(ours, theirs, strict=True))
