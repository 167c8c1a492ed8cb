"""Whether the recorded action is found among others that were recorded elsewhere.

Legend: K candidates, A action size (7).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.measures.steps import Action, Step
from train.planning.planner import Planner

NUM_CANDIDATES: Final = 20
HITS: Final = (1, 5)
_SEED: Final = 0


def retrieval(
    planner: Planner, steps: Iterable[Step], actions: Mapping[int, set[Action]]
) -> dict[str, NDArray[np.float64]]:
    """For every start (S,), 1 where the recorded action is among the lowest 1 or 5 of `NUM_CANDIDATES`, or 0.

    Where others have just its energy, the probability that it is, if those are put in any order. actions: all
    that were recorded, by trajectory. The candidates were recorded at other times: `same_*` in the same
    trajectory, `other_*` in other ones. NaN where there are not enough of them. By chance 1 in 20 and 5 in 20
    are hit.
    """
    rng = np.random.default_rng(_SEED)
    rows = [_hits_of(planner, step, actions, rng) for step in steps]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _hits_of(
    planner: Planner, step: Step, actions: Mapping[int, set[Action]], rng: np.random.Generator
) -> dict[str, float]:
    recorded = tuple(step.actions_TA[0].tolist())
    same = actions[step.trajectory] - {recorded}
    other = set().union(*(pool for index, pool in actions.items() if index != step.trajectory)) - {recorded}
    hits = {}
    for name, pool in (("same", same), ("other", other)):
        energy_K = _energies(planner, step, sorted(pool), rng)
        for count in HITS:
            hit = math.nan if energy_K is None else hit_probability(energy_K, count)
            hits[f"{name}_hit_at_{count}"] = hit
    return hits


def hit_probability(energy_K: Tensor, count: int) -> float:
    """That the first of the energies is among the lowest `count` when equal ones are ordered at random."""
    below, equal = int((energy_K < energy_K[0]).sum()), int((energy_K == energy_K[0]).sum())
    return min(max((count - below) / equal, 0.0), 1.0)


def _energies(planner: Planner, step: Step, pool: list[Action], rng: np.random.Generator) -> Tensor | None:
    """Of the recorded action and of candidates drawn from the pool, (K,); None where it has too few."""
    if len(pool) < NUM_CANDIDATES - 1:
        return None
    drawn = rng.choice(len(pool), NUM_CANDIDATES - 1, replace=False)
    others_KA = step.actions_TA.new_tensor([pool[number] for number in drawn])
    candidates_KHA = torch.cat([step.actions_TA[:1], others_KA])[:, None]
    return planner.energies(step.latents_TND[0], step.states_TA[0], step.latents_TND[1], candidates_KHA)
