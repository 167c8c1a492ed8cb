"""Searching action sequences of low energy by sampling: CEM as published, and MPPI.

Shape legend: S samples, H steps of the horizon, A action size (7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from train.planning.bounds import ActionBounds

Energy = Callable[[torch.Tensor], torch.Tensor]
"""Energies (S,) of action sequences (S, H, 7); lower is better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Actions (H, 7) that a search ended with, and the lowest energy met in each of its rounds."""

    actions_HA: torch.Tensor
    lowest_energies: tuple[float, ...]


class Spread(NamedTuple):
    """Mean and deviation (H, 7) that actions are sampled with."""

    mean_HA: torch.Tensor
    std_HA: torch.Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampling:
    """What CEM and MPPI have in common: rounds of samples, each fitted to what the last one found."""

    bounds: ActionBounds
    generator: torch.Generator

    def search(
        self,
        energy: Energy,
        horizon: int,
        rounds: int,
        num_samples: int,
        fit: Callable[[torch.Tensor, torch.Tensor, Spread], Spread],
    ) -> Found:
        """Begin with deviations as large as the bounds; the answer is the mean after the last round."""
        spread, lowest = self._widest(horizon), []
        for _ in range(rounds):
            actions_SHA = self._sample(num_samples, spread)
            energy_S = energy(actions_SHA)
            spread = fit(actions_SHA, energy_S, spread)
            lowest.append(float(energy_S.min()))
        return Found(actions_HA=self.bounds.clip(spread.mean_HA), lowest_energies=tuple(lowest))

    def _widest(self, horizon: int) -> Spread:
        """What is not planned never deviates: its bound is zero."""
        mean_HA = torch.zeros(horizon, 7, device=self.generator.device)
        return Spread(mean_HA, self.bounds.limits(mean_HA).expand_as(mean_HA))

    def _sample(self, num_samples: int, spread: Spread) -> torch.Tensor:
        shape, device = (num_samples, *spread.mean_HA.shape), self.generator.device
        noise_SHA = torch.randn(shape, generator=self.generator, device=device)
        return self.bounds.clip(spread.mean_HA + noise_SHA * spread.std_HA)


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
        sampling = Sampling(bounds=bounds, generator=generator)
        return sampling.search(energy, horizon, self.rounds, self.samples, self._fit)

    def _fit(self, actions_SHA: torch.Tensor, energy_S: torch.Tensor, before: Spread) -> Spread:
        elite_EHA = actions_SHA[energy_S.topk(self.elites, largest=False).indices]
        return Spread(
            torch.lerp(elite_EHA.mean(dim=0), before.mean_HA, self.momentum),
            torch.lerp(elite_EHA.std(dim=0), before.std_HA, self.momentum),
        )


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
        sampling = Sampling(bounds=bounds, generator=generator)
        return sampling.search(energy, horizon, self.rounds, self.samples, self._fit)

    def _fit(self, actions_SHA: torch.Tensor, energy_S: torch.Tensor, before: Spread) -> Spread:
        weight_S = self._weights(energy_S).to(actions_SHA.dtype)
        return Spread(torch.einsum("s,sha->ha", weight_S, actions_SHA), before.std_HA * self.shrink)

    def _weights(self, energy_S: torch.Tensor) -> torch.Tensor:
        energy_S = energy_S.double()
        scale = self.temperature * energy_S.std(correction=0)
        return torch.softmax(-(energy_S - energy_S.min()) / scale.clamp_min(1e-12), dim=0)


def _ensure_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise PlanningError(f"{name} is {count}; it must be at least 1.")
