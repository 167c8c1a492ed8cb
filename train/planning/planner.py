"""From where the robot is and what it should see to the actions that lead there.

Shape legend: S samples, H steps of the horizon, C earlier frames, N tokens per frame, D encoder width,
A action size (7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from train.checkpoint import Checkpoint
from train.device import autocast, choose_device
from train.objective import rollout
from train.planning.bounds import ActionBounds
from train.planning.history import History
from train.planning.search import Cem, Found, PlanningError, Search
from train.predictor import ACTION_SIZE, Predictor
from train.prefix import NO_FRAMES, Prefix
from train.products import with_fast_products
from train.trained import trained_predictor

CPU_BATCH_SAMPLES: Final = 16
GPU_BATCH_SAMPLES: Final = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Planner:
    """Chooses actions by searching for those after which the predictor sees the goal.

    The energy of a sequence of actions is the mean absolute difference of the latent predicted after its last
    action and the latent of the goal (arXiv 2506.09985, section 3.2). batch_samples: sequences
    predicted at once; bounds memory, and changes results by rounding only. None: what a CPU has in its cache,
    or fills a GPU.
    """

    predictor: Predictor
    device: torch.device
    bounds: ActionBounds
    search: Search = field(default_factory=Cem)
    horizon: int = 1
    batch_samples: int | None = None

    def __post_init__(self) -> None:
        for name in ("horizon", "batch_samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise PlanningError(f"{name} is {value}; it must be at least 1.")

    @classmethod
    def of_checkpoint(
        cls,
        path: Path,
        *,
        bounds: ActionBounds | None = None,
        search: Search | None = None,
        horizon: int = 1,
        device: str | None = None,
    ) -> Planner:
        """The planner of a run's checkpoint, with the published bounds for a step of its store's clock.

        device: 'cpu', 'cuda', or None to choose. Raises CheckpointError, DeviceError, PlanningError.
        """
        checkpoint, target = Checkpoint.load(path), choose_device(device)
        predictor = trained_predictor(checkpoint).to(target).eval()
        return cls.of_run(predictor, checkpoint, target, bounds=bounds, search=search, horizon=horizon)

    @classmethod
    def of_run(
        cls,
        predictor: Predictor,
        checkpoint: Checkpoint,
        device: torch.device,
        *,
        bounds: ActionBounds | None = None,
        search: Search | None = None,
        horizon: int = 1,
    ) -> Planner:
        """The same with a predictor that is there already. Raises PlanningError."""
        return cls(
            predictor=predictor,
            device=device,
            bounds=bounds or ActionBounds.published(step_seconds_of(checkpoint)),
            search=search or Cem(),
            horizon=horizon,
        )

    def act(
        self,
        latent_ND: Tensor,
        state_A: Tensor,
        goal_latent_ND: Tensor,
        *,
        history: History | None = None,
        seed: int = 0,
    ) -> Tensor:
        """The first action (7,) of the best plan found, float32 on the planner's device; see `plan`."""
        return self.plan(latent_ND, state_A, goal_latent_ND, history=history, seed=seed).actions_HA[0]

    def plan(
        self,
        latent_ND: Tensor,
        state_A: Tensor,
        goal_latent_ND: Tensor,
        *,
        history: History | None = None,
        seed: int = 0,
    ) -> Found:
        """Search from the frame with this latent and state (7,) for the frame with the goal latent.

        Latents (N, D) are layer-normed over channels, as encoders and stores give them. history: frames
        before this one, for the predictor to look back at; computed once, whatever the number of samples. The
        same seed gives the same plan. Raises PlanningError for other shapes.
        """
        self._ensure_shapes(latent_ND, state_A, goal_latent_ND)
        prefix = NO_FRAMES if history is None else self.remember(history)
        latent_ND, state_A, goal_ND = (
            values.to(self.device, torch.float32) for values in (latent_ND, state_A, goal_latent_ND)
        )
        generator = torch.Generator(self.device).manual_seed(seed)
        return self.search(
            lambda actions_SHA: self.energies(latent_ND, state_A, goal_ND, actions_SHA, prefix=prefix),
            self.horizon,
            self.bounds,
            generator,
        )

    def remember(self, history: History) -> Prefix:
        """Keys and values of earlier frames, which no later action changes. Raises PlanningError."""
        history.ensure_fits(self.predictor.config)
        inputs = (history.latents_CND, history.actions_CA, history.states_CA)
        with torch.inference_mode(), autocast(self.device):
            _, prefix = self._fast_predictor.extend(
                None,
                *(values[None].to(self.device, torch.float32) for values in inputs),
                keep=history.num_frames,
            )
        return prefix

    def energies(
        self,
        latent_ND: Tensor,
        state_A: Tensor,
        goal_latent_ND: Tensor,
        actions_SHA: Tensor,
        *,
        prefix: Prefix = NO_FRAMES,
    ) -> Tensor:
        """Energies, float32 (S,), of action sequences (S, H, 7) that all start from one frame.

        prefix: what `remember` made of the frames before it.
        """
        with torch.inference_mode(), autocast(self.device):
            parts = [
                self._final_latents(latent_ND, state_A, part_SHA, prefix)
                .float()
                .sub_(goal_latent_ND)
                .abs_()
                .mean((1, 2))
                for part_SHA in torch.split(actions_SHA, self._batch_samples)
            ]
        return torch.cat(parts)

    @property
    def _batch_samples(self) -> int:
        return self.batch_samples or (CPU_BATCH_SAMPLES if self.device.type == "cpu" else GPU_BATCH_SAMPLES)

    @cached_property
    def _fast_predictor(self) -> Predictor:
        return with_fast_products(self.predictor, self.device)

    def _final_latents(
        self, latent_ND: Tensor, state_A: Tensor, actions_SHA: Tensor, prefix: Prefix
    ) -> Tensor:
        samples = len(actions_SHA)
        return rollout(
            self._fast_predictor,
            latent_ND.expand(samples, -1, -1),
            state_A.expand(samples, -1),
            actions_SHA,
            prefix=prefix.shared_by(samples),
        )[:, -1]

    def _ensure_shapes(self, latent_ND: Tensor, state_A: Tensor, goal_latent_ND: Tensor) -> None:
        config = self.predictor.config
        latent_shape = (config.num_tokens, config.encoder_width)
        expected = (latent_shape, (ACTION_SIZE,), latent_shape)
        got = tuple(tuple(values.shape) for values in (latent_ND, state_A, goal_latent_ND))
        if got != expected:
            raise PlanningError(
                f"A plan starts from a latent, a state and a goal latent of shapes {expected}; got {got}. "
                "Encode both pictures with the encoder of the store that the run was trained on."
            )


def step_seconds_of(checkpoint: Checkpoint) -> float:
    """Physical seconds of one step: the public clock's nominal quarter of a second is about a whole one.

    Its MP4s claim 60 frames a second of rows recorded at 15 Hz (facebookresearch/vjepa2, issue 183).
    """
    seconds = 1.0 / float(checkpoint.trained_on["frame_rate_hz"])
    return 4.0 * seconds if checkpoint.trained_on["clock"] == "mp4_nominal" else seconds
