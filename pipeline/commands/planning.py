"""`plan`: actions that lead from one stored frame to another."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.commands.output import JsonFlag, emit
from pipeline.commands.training import DeviceOption, RunArgument, TrainedStoreOption
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from train.planning.search import Search
    from train.planning.stored_goal import StoredPlan


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("plan")(plan)


def plan(
    run: RunArgument,
    start: Annotated[str, typer.Option(help="TRAJECTORY:FRAME, where the robot is.")],
    goal: Annotated[str, typer.Option(help="TRAJECTORY:FRAME, what it should see.")],
    store: TrainedStoreOption = None,
    method: Annotated[Literal["cem", "mppi"], typer.Option(help="How actions are searched.")] = "cem",
    horizon: Annotated[int, typer.Option(help="Steps of the plan.")] = 1,
    samples: Annotated[int, typer.Option(help="Action sequences tried in each round.")] = 800,
    rounds: Annotated[int, typer.Option(help="Rounds of sampling.")] = 10,
    elites: Annotated[int | None, typer.Option(help="With cem: samples kept of each round. [10]")] = None,
    seed: Annotated[int, typer.Option(help="Decides the samples.")] = 0,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Search actions after which the predictor sees the goal frame, beside what was done when recorded.

    The defaults are the paper's: 800 samples, 10 rounds, the best 10, one step. A loop on a robot calls the
    same as `train.planning.planner.Planner.of_checkpoint(...).act(latent, state, goal_latent)`.

    Example: `permafrost plan runs/demo --start 3:0 --goal 3:1 --samples 100`
    """
    from train.planning.stored_frame import FrameName
    from train.planning.stored_goal import plan_between
    from train.run_folder import RunFolder

    found = plan_between(
        run,
        store or RunFolder(run).remembered_store(),
        FrameName.parse(start),
        FrameName.parse(goal),
        search=_search(method, samples, rounds, elites),
        horizon=horizon,
        seed=seed,
        device=device,
    )
    facts = found.to_json() if as_json else _for_people(found)
    emit(facts, title=f"{start} to {goal}", as_json=as_json)


def _search(method: str, samples: int, rounds: int, elites: int | None) -> "Search":
    from train.planning.search import Cem, Mppi

    if method == "cem":
        return Cem(samples=samples, rounds=rounds, elites=10 if elites is None else elites)
    if elites is not None:
        raise OptionError("--elites goes with --method cem.")
    return Mppi(samples=samples, rounds=rounds)


def _for_people(found: "StoredPlan") -> dict[str, str]:
    planned = {
        f"action {number}": _action(action)
        for number, action in enumerate(found.actions_HA.tolist(), start=1)
    }
    return planned | {
        "recorded change": _action(found.recorded_change_A.tolist()),
        "end effector off": f"{100 * found.position_error_metres:.2f} cm",
        "energy": f"{found.energy:.4f}, doing nothing {found.idle_energy:.4f}",
        "seconds": f"{found.seconds:.2f}",
    }


def _action(action: list[float]) -> str:
    x, y, z = (100 * metres for metres in action[:3])
    return f"x {x:+.2f}, y {y:+.2f}, z {z:+.2f} cm, gripper {action[6]:+.2f}"
