"""All that a store can say of a predictor, with intervals: what `permafrost evaluate` prints.

Legend: S starts, H horizons.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from train.device import autocast
from train.evaluation import CLIP_FRAMES, HORIZONS, Errors
from train.held_out import HeldOutClips
from train.measures.breakdown import breakdown
from train.measures.energy_landscape import energy_landscape
from train.measures.fitting_clips import fitting_clips
from train.measures.intervals import TrajectorySums
from train.measures.leaks import ensure_no_leak
from train.measures.linear_dynamics import LinearDynamics, LinearFit
from train.measures.measure_trees import as_json
from train.measures.planned_actions import action_score, planned_action_errors
from train.measures.position_probe import PositionProbe, ProbeFit
from train.measures.prediction import L1, TEACHER_FORCED, PredictionScores
from train.measures.retrieval import retrieval
from train.measures.steps import Step, spread_over_trajectories, steps_of
from train.objective import rollout
from train.planning.bounds import ActionBounds
from train.planning.planner import Planner
from train.planning.search import Cem, Search
from train.predictor import Predictor
from train.view import View

PLAN_HORIZONS: Final = (1, 3)
FITTING_CLIPS: Final = 1024
BATCH_CLIPS: Final = 8

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """A predictor on the held-out trajectories of a view.

    num_starts: starts whose actions are planned for and told apart, spread over the trajectories; predictions
    are scored on all starts. search: what the planner searches with.
    """

    predictor: Predictor
    view: View
    device: torch.device
    num_starts: int = 24
    search: Search = field(default_factory=Cem)

    def to_json(self) -> dict[str, Any]:
        """Every measure by name, each number with its interval; raises what `measures` does."""
        found: dict[str, Any] = as_json(self.measures())
        return found

    def measures(self) -> dict[str, Any]:
        """The same as sums over trajectories. Raises HeldOutError, SubsetError."""
        starts = self._starts
        few = spread_over_trajectories(starts, self.num_starts)
        steps = list(steps_of(few))
        with torch.no_grad(), autocast(self.device):
            return {
                "prediction": self._prediction(starts),
                "planning": {str(horizon): self._planning(horizon, steps) for horizon in PLAN_HORIZONS},
                "energy": _means(energy_landscape(self._planner(1), steps), few.trajectory_S),
                "retrieval": _means(
                    retrieval(self._planner(1), steps, self._scores.actions), few.trajectory_S
                ),
                "probe": self._probe(few, steps),
                "trust": self._trust(starts, steps),
            }

    def ensure_no_leak(self) -> None:
        """Raise LeakError where a prediction knows what comes after it; tried on a few held-out clips."""
        with contextlib.closing(self._starts.first(2).batches(2)) as batches, autocast(self.device):
            ensure_no_leak(self.predictor, next(batches))

    def errors(self) -> Errors:
        """Errors by horizon as `train.evaluation.measure` gives them."""
        return self._scores.summary(self._starts)

    @cached_property
    def _starts(self) -> HeldOutClips:
        return HeldOutClips.of(self.view, CLIP_FRAMES)

    @cached_property
    def _fits(self) -> tuple[LinearDynamics, PositionProbe]:
        """Both from one pass over the clips, which at full size are gigabytes."""
        config = self.predictor.config
        linear = LinearFit()
        probe = ProbeFit(horizons=HORIZONS, grid_height=config.grid_height, grid_width=config.grid_width)
        clips_of_training = fitting_clips(
            self.view, clip_frames=CLIP_FRAMES, num_clips=FITTING_CLIPS, batch_clips=BATCH_CLIPS
        )
        for clips in clips_of_training:
            linear.add(clips)
            probe.add(clips)
        return linear.fitted(), probe.fitted()

    @cached_property
    def _scores(self) -> PredictionScores:
        with torch.no_grad(), autocast(self.device):
            return PredictionScores.of(self.predictor, self._fits[0], self._starts, batch_clips=BATCH_CLIPS)

    def _planner(self, horizon: int) -> Planner:
        return Planner(
            predictor=self.predictor, device=self.device, bounds=self._bounds(), search=self.search,
            horizon=horizon,
        )  # fmt: skip

    def _bounds(self) -> ActionBounds:
        statistics = self.view.action_statistics
        assert statistics is not None, "the caller made sure that the store is sealed"
        return ActionBounds.recorded(statistics)

    def _prediction(self, starts: HeldOutClips) -> dict[str, Any]:
        errors = dict(self._scores.errors)
        forced_S = errors.pop(TEACHER_FORCED)[:, 0]
        own_SH, clusters = errors[L1], starts.trajectory_S
        return {
            "horizons": list(HORIZONS),
            TEACHER_FORCED: TrajectorySums.of_mean(forced_S, clusters),
            L1: [TrajectorySums.of_mean(column, clusters) for column in own_SH.T],
            "ratio_to": {
                name: [
                    TrajectorySums.of_ratio(ours, theirs, clusters)
                    for ours, theirs in zip(own_SH.T, other_SH.T, strict=True)
                ]
                for name, other_SH in errors.items()
                if name != L1
            },
            "one_frame_ahead_by": breakdown(own_SH[:, 0], errors["copy_last_frame"][:, 0], starts),
        }

    def _planning(self, horizon: int, steps: list[Step]) -> dict[str, Any]:
        scores = planned_action_errors(self._planner(horizon), steps)
        clusters = np.array([step.trajectory for step in steps])
        return {"action_score": action_score(scores["xyz_sum_metres"]), **_means(scores, clusters)}

    def _probe(self, starts: HeldOutClips, steps: list[Step]) -> dict[str, Any]:
        rows = [self._probe_errors(self._fits[1], step) for step in steps]
        return {
            "horizons": list(HORIZONS),
            **{
                name: [
                    TrajectorySums.of_mean(column, starts.trajectory_S)
                    for column in np.stack([row[name] for row in rows]).T
                ]
                for name in rows[0]
            },
        }

    def _probe_errors(self, probe: PositionProbe, step: Step) -> Scores:
        """Centimetres (H,) read from predicted latents, from encoded ones, and from the first frame kept."""
        first_ND = step.latents_TND[0]
        predicted_TND = rollout(
            self.predictor, first_ND[None], step.states_TA[None, 0], step.actions_TA[None]
        )[0]
        scored = [horizon - 1 for horizon in HORIZONS]
        seen = {
            "predicted_centimetres": predicted_TND[scored],
            "encoded_centimetres": step.latents_TND[1:][scored],
            "copy_last_frame_centimetres": first_ND.expand(len(scored), -1, -1),
        }
        return {
            name: 100 * probe.errors_metres(latents_HND, first_ND, step.states_TA)
            for name, latents_HND in seen.items()
        }

    def _share_within_bounds(self, steps: list[Step]) -> float:
        planned = [*range(3), 6]
        return float(
            np.mean([
                bool((step.actions_TA[0].abs() <= self._bounds().limits(step.actions_TA[0]))[planned].all())
                for step in steps
            ])
        )  # fmt: skip

    def _trust(self, starts: HeldOutClips, steps: list[Step]) -> dict[str, Any]:
        held_out = self.view.split("validation")
        bounds, attributes = self._bounds(), self.view.attributes
        return {
            "num_starts": len(starts),
            "num_trajectories": starts.num_trajectories,
            "num_labs": len({t.lab for t in held_out}),
            "num_planned_starts": len(steps),
            "intervals": "95 %, bootstrap over trajectories",
            "xyz_bound_metres": bounds.xyz_metres,
            "gripper_bound": bounds.gripper,
            "share_within_bounds": self._share_within_bounds(steps),
            "store_revision": attributes.revision,
            "clock": attributes.fingerprint.clock,
            "crop": attributes.fingerprint.preprocessing.crop,
            "held_out": f"a share of {attributes.recipe.get('validation_share')} by a hash of episode ids",
        }


def _means(scores: Mapping[str, NDArray[np.float64]], trajectory_S: NDArray[np.int64]) -> dict[str, Any]:
    """Sums of each score over the starts that have it, and None where none has."""
    return {
        name: None if np.isnan(value_S).all() else TrajectorySums.of_mean(value_S, trajectory_S)
        for name, value_S in scores.items()
    }
