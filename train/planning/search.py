"""Searching action sequences of low energy by sampling: CEM as published, and MPPI.

Shape legend: S samples, H steps of the horizon, A action size (7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from train.planning.bounds import GRIPPER, XYZ, ActionBounds

Energy = Callable[[torch.Tensor], torch.Tensor]
"""Energies (S,) of action sequences (S, H, 7); lower is better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Actions (H, 7) that a search ended with, and the lowest energy met in each of its rounds."""

    actions_HA: torch.Tensor
    lowest_energies: tuple[float, ...]


class Search(Protocol):
    """A way to search action sequences."""

    def __call__(
        self, energy: Energy, horizon: int, bounds: ActionBounds, generator: torch.Generator
    ) -> Found:
        """Search sequences of `horizon` actions within `bounds`, on the generator's device."""


class PlanningError(ValueError):
    """A plan was asked for that no search can make."""


@dataclass(frozen=True, kw_only=True)
class Cem:
    """The cross-entropy method: sample, keep the best, fit the next samples to them, answer with their mean.

    Defaults are those of arXiv 2506.09985: 800 samples, 10 rounds, the best 10. The first round's
    deviation is the bound itself, and a fit keeps `momentum` of the one before, as in `cem` of
    `notebooks/utils/mpc_utils.py` of facebookresearch/vjepa2.
    """

    samples: int = 800
    rounds: int = 10
    elites: int = 10
    momentum: float = 0.15

    def __post_init__(self) -> None:
        _ensure_counts(samples=self.samples, rounds=self.rounds, elites=self.elites)
        if self.elites > self.samples or self.elites < 2:
            raise PlanningError(f"elites is {self.elites}; choose from 2 to samples, {self.samples}.")
        if not 0 <= self.momentum < 1:
            raise PlanningError(f"momentum is {self.momentum}; it must be at least 0 and below 1.")

    def __call__(
        self, energy: Energy, horizon: int, bounds: ActionBounds, generator: torch.Generator
    ) -> Found:
        """See `Search`."""
        mean_HA, std_HA = _start(horizon, bounds, generator)
        lowest = []
        for _ in range(self.rounds):
            actions_SHA = _sample(self.samples, mean_HA, std_HA, bounds, generator)
            best = energy(actions_SHA).topk(self.elites, largest=False)
            elite_EHA = actions_SHA[best.indices]
            mean_HA = torch.lerp(elite_EHA.mean(dim=0), mean_HA, self.momentum)
            std_HA = torch.lerp(elite_EHA.std(dim=0), std_HA, self.momentum)
            lowest.append(float(best.values[0]))
        return Found(actions_HA=bounds.clip(mean_HA), lowest_energies=tuple(lowest))


@dataclass(frozen=True, kw_only=True)
class Mppi:
    """Model predictive path integral control: every sample counts, by how low its energy is.

    Weights are softmax(-(energy - lowest) / (temperature x the deviation of the energies)), so that the
    temperature has no unit (Williams et al., 2015, arXiv 1509.01149, with normalised costs). The deviation of
    the samples shrinks by `shrink` from round to round.
    """

    samples: int = 800
    rounds: int = 10
    temperature: float = 0.1
    shrink: float = 0.7

    def __post_init__(self) -> None:
        _ensure_counts(samples=self.samples, rounds=self.rounds)
        if not self.temperature > 0:
            raise PlanningError(f"temperature is {self.temperature}; it must be positive.")
        if not 0 < self.shrink <= 1:
            raise PlanningError(f"shrink is {self.shrink}; it must be above 0 and at most 1.")

    def __call__(
        self, energy: Energy, horizon: int, bounds: ActionBounds, generator: torch.Generator
    ) -> Found:
        """See `Search`."""
        mean_HA, std_HA = _start(horizon, bounds, generator)
        lowest = []
        for _ in range(self.rounds):
            actions_SHA = _sample(self.samples, mean_HA, std_HA, bounds, generator)
            energy_S = energy(actions_SHA)
            weight_S = self._weights(energy_S).to(actions_SHA.dtype)
            mean_HA = torch.einsum("s,sha->ha", weight_S, actions_SHA)
            std_HA = std_HA * self.shrink
            lowest.append(float(energy_S.min()))
        return Found(actions_HA=bounds.clip(mean_HA), lowest_energies=tuple(lowest))

    def _weights(self, energy_S: torch.Tensor) -> torch.Tensor:
        energy_S = energy_S.double()
        scale = self.temperature * energy_S.std(correction=0)
        return torch.softmax(-(energy_S - energy_S.min()) / scale.clamp_min(1e-12), dim=0)


def _ensure_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise PlanningError(f"{name} is {count}; it must be at least 1.")


def _start(
    horizon: int, bounds: ActionBounds, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (H, 7) of the first round; what is not planned never deviates."""
    mean_HA = torch.zeros(horizon, 7, device=generator.device)
    std_HA = torch.zeros_like(mean_HA)
    for planned in (XYZ, GRIPPER):
        std_HA[:, planned] = bounds.limits(mean_HA)[planned]
    return mean_HA, std_HA


def _sample(
    num_samples: int,
    mean_HA: torch.Tensor,
    std_HA: torch.Tensor,
    bounds: ActionBounds,
    generator: torch.Generator,
) -> torch.Tensor:
    noise_SHA = torch.randn(num_samples, *mean_HA.shape, generator=generator, device=generator.device)
    return bounds.clip(mean_HA + noise_SHA * std_HA)
