"""All that a run's predictor does for the pictures of its report: predictions, energies, plans.

It costs about an eighth of `permafrost evaluate`: 441 actions a plane, 1,000 sequences a plan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import torch

from pipeline.report.frame_pair import FramePair
from pipeline.report.landscape import Landscape
from pipeline.report.neighbours import Neighbours, find_neighbours
from pipeline.report.plan_picture import DrawnPlan
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import Strip, draw_strip
from train.device import choose_device
from train.evaluation import CLIP_FRAMES
from train.held_out import HeldOutClips
from train.measures.energy_planes import energy_planes
from train.measures.moving_steps import MovingStep, moving_steps
from train.measures.planned_path import planned_path
from train.measures.rollouts import predict_rollouts
from train.planning.bounds import ActionBounds
from train.planning.planner import Planner
from train.planning.search import Cem
from train.predictor import Predictor
from train.trained import trained_predictor
from train.view import View

NUM_STARTS: Final = 24
NUM_SHOWN: Final = 3
PLAN_STEPS: Final = 3
SEARCH: Final = Cem(samples=200, rounds=5)

DrawnT = TypeVar("DrawnT")


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """landscapes, plans: () where nothing bounds actions (a store without statistics), or nothing moved."""

    strip: Strip
    neighbours: Neighbours
    landscapes: tuple[Landscape, ...]
    plans: tuple[DrawnPlan, ...]


def look_at(run: RunRecord, *, device: str | None) -> Look:
    """Predict and plan on held-out frames. Raises HeldOutError, StoreError, DeviceError."""
    target = choose_device(device)
    view = View.of_store(run.store, target)
    predictor = trained_predictor(run.checkpoint).to(target).eval()
    rollouts = predict_rollouts(predictor, view, target)
    return Look(
        strip=draw_strip(run.store, rollouts),
        neighbours=find_neighbours(run.store, view, rollouts),
        landscapes=_landscapes(run, predictor, view, target),
        plans=_plans(run, predictor, view, target),
    )


def _landscapes(
    run: RunRecord, predictor: Predictor, view: View, device: torch.device
) -> tuple[Landscape, ...]:
    def landscape(planner: Planner, moving: MovingStep) -> Landscape:
        pair = FramePair.read(run.store, moving, planner.horizon)
        return Landscape(pair=pair, planes=energy_planes(planner, moving.step))

    return _of_moving_steps(landscape, predictor, view, device, horizon=1)


def _plans(run: RunRecord, predictor: Predictor, view: View, device: torch.device) -> tuple[DrawnPlan, ...]:
    def plan(planner: Planner, moving: MovingStep) -> DrawnPlan:
        pair = FramePair.read(run.store, moving, planner.horizon)
        return DrawnPlan(pair=pair, path=planned_path(planner, moving.step))

    return _of_moving_steps(plan, predictor, view, device, horizon=PLAN_STEPS)


def _of_moving_steps(
    draw: Callable[[Planner, MovingStep], DrawnT],
    predictor: Predictor,
    view: View,
    device: torch.device,
    *,
    horizon: int,
) -> tuple[DrawnT, ...]:
    if view.action_statistics is None:
        return ()
    bounds = ActionBounds.recorded(view.action_statistics)
    planner = Planner(predictor=predictor, device=device, bounds=bounds, search=SEARCH, horizon=horizon)
    chosen = moving_steps(
        HeldOutClips.of(view, CLIP_FRAMES), bounds, horizon=horizon, num_starts=NUM_STARTS,
        num_chosen=NUM_SHOWN,
    )  # fmt: skip
    return tuple(draw(planner, moving) for moving in chosen)
