"""How often a policy reaches goals in the sample data's world."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

import numpy as np
from scipy.stats import binomtest

from featurize.demo_data.environment import REACHED_METRES, DemoWorld, Task
from pipeline.closed_loop.policies import Policy

TASKS: Final[tuple[Task, ...]] = get_args(Task)

OnEpisode = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How one episode ended; distances of hand and carried object from where they should be."""

    seed: int
    is_success: bool
    steps: int
    start_metres: float
    end_metres: float
    object_end_metres: float | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The attempts of one policy at one task, with one seed each."""

    task: Task
    attempts: Sequence[Attempt]

    @property
    def success_rate(self) -> float:
        """Share of the attempts that reached their goal."""
        return float(np.mean([attempt.is_success for attempt in self.attempts]))

    def to_json(self) -> dict[str, Any]:
        """The rate with its 95 % interval (Wilson), how far off the ends are, and every attempt."""
        successes = sum(attempt.is_success for attempt in self.attempts)
        interval = binomtest(successes, len(self.attempts)).proportion_ci(method="wilson")
        return {
            "task": self.task,
            "episodes": len(self.attempts),
            "successes": successes,
            "success_rate": {"mean": self.success_rate, "low": interval.low, "high": interval.high},
            "mean_end_centimetres": 100 * float(np.mean([a.end_metres for a in self.attempts])),
            "mean_start_centimetres": 100 * float(np.mean([a.start_metres for a in self.attempts])),
            "reached_centimetres": 100 * REACHED_METRES,
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }


def try_policy(
    policy: Policy,
    task: Task,
    seeds: Sequence[int],
    *,
    world: DemoWorld,
    on_episode: OnEpisode = lambda _done, _total: None,
) -> Trial:
    """One episode a seed, which decides scene, start and goal, whatever the policy does."""
    attempts = []
    for number, seed in enumerate(seeds, start=1):
        attempts.append(_attempt(policy, world, task, seed))
        on_episode(number, len(seeds))
    return Trial(task=task, attempts=attempts)


def _attempt(policy: Policy, world: DemoWorld, task: Task, seed: int) -> Attempt:
    observation, info = world.reset(seed=seed, options={"task": task})
    start_metres, steps, is_over = info["distance_metres"], 0, False
    policy.begin(info["goal_image"], seed=seed)
    while not is_over:
        observation, _, reached, is_late, info = world.step(policy.act(observation))
        steps, is_over = steps + 1, reached or is_late
    return Attempt(
        seed=seed,
        is_success=info["is_success"],
        steps=steps,
        start_metres=start_metres,
        end_metres=info["distance_metres"],
        object_end_metres=info["object_distance_metres"],
    )
