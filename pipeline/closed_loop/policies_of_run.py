"""The policies that a run is tried with."""

from dataclasses import replace
from pathlib import Path

from featurize.recipe import planned_recipe
from pipeline.closed_loop.policies import Planned, Policy, Random, Zero
from pipeline.closed_loop.seeing import Sight
from train.assembly import UnsealedStoreError
from train.opened_run import OpenedRun
from train.planning.bounds import ActionBounds
from train.planning.planner import Planner
from train.planning.search import Search


def policies_of_run(
    run_path: Path,
    store_path: Path,
    *,
    search: Search,
    horizon: int,
    keep_gripper: bool = False,
    weights: Path | None = None,
    device: str | None = None,
) -> dict[str, Policy]:
    """Planning with the run's last checkpoint, random actions within the same bounds, and doing nothing.

    Bounds are those of `permafrost evaluate`. keep_gripper: it is not moved, so that what is
    carried stays in it. weights: the encoder's file, where it is not found by name.
    Raises UnsealedStoreError, and what `OpenedRun.open`, `Sight.of` and `Planner` raise.
    """
    run = OpenedRun.open(run_path, store_path, device=device)
    if run.view.action_statistics is None:
        raise UnsealedStoreError(
            f"Store {run.view.name} is not sealed and lacks the statistics that bound actions. "
            "Finish it with `permafrost featurize` first."
        )
    bounds = ActionBounds.recorded(run.view.action_statistics)
    if keep_gripper:
        bounds = replace(bounds, gripper=0.0)
    recipe = planned_recipe(store_path)
    sight = Sight.of(
        run.view.attributes.fingerprint,
        weights=weights,
        checkpoint_key=None if recipe is None else recipe.checkpoint_key,
        device=run.device,
    )
    planner = Planner.of_run(
        run.predictor, run.checkpoint, run.device, bounds=bounds, search=search, horizon=horizon
    )
    return {"planned": Planned(sight=sight, planner=planner), "random": Random(bounds=bounds), "zero": Zero()}
