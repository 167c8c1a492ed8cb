"""`closed-loop`: how often planning with a run reaches goals in the sample data's world."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.commands.output import JsonFlag, emit, say
from pipeline.commands.training import DeviceOption, RunArgument, TrainedStoreOption


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("closed-loop")(closed_loop)


def closed_loop(
    run: RunArgument,
    store: TrainedStoreOption = None,
    task: Annotated[
        Literal["reach", "reach_with_object", "both"],
        typer.Option(help="Bring the hand to the goal, or a carried object with it."),
    ] = "both",
    episodes: Annotated[int, typer.Option(min=1, help="Scenes, one a seed.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the first episode; the others follow.")] = 0,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps after which an episode is lost.")] = 10,
    horizon: Annotated[int, typer.Option(help="Steps of each plan, of which the first is taken.")] = 1,
    samples: Annotated[int, typer.Option(help="Action sequences that CEM tries in each round.")] = 200,
    rounds: Annotated[int, typer.Option(help="Rounds of CEM.")] = 5,
    keep_gripper: Annotated[
        bool, typer.Option("--keep-gripper", help="Plan positions alone: what is carried is not let go.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Of the encoder, as for `featurize`.")] = None,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Act in the world of the sample data towards pictures of goals: look, plan, take one step, look again.

    A goal is reached where the hand, and what it carries, comes within 5 cm. Doing nothing and random actions
    stand beside. Needs the encoder of the store, and a run on sample data: on others its scenes are foreign.

    Example: `permafrost closed-loop runs/small --task reach --episodes 50`
    """
    from featurize.demo_data.environment import DemoWorld
    from pipeline.closed_loop.policies_of_run import policies_of_run
    from pipeline.closed_loop.trial import TASKS, try_policy
    from pipeline.progress import progress_bar
    from train.planning.search import Cem
    from train.run_folder import RunFolder

    policies = policies_of_run(
        run,
        store or RunFolder(run).remembered_store(),
        search=Cem(samples=samples, rounds=rounds),
        horizon=horizon,
        keep_gripper=keep_gripper,
        weights=weights,
        device=device,
    )
    facts: dict[str, dict[str, Any]] = {}
    seeds, world = range(seed, seed + episodes), DemoWorld(max_steps=max_steps)
    for name in TASKS if task == "both" else (task,):
        say(f"{name}: {episodes} episodes, seeds {seeds.start} to {seeds.stop - 1}.")
        facts[name] = {}
        for who, policy in policies.items():
            with progress_bar(who, "episodes") as draw:
                trial = try_policy(policy, name, seeds, world=world, on_episode=draw)
            facts[name][who] = trial.to_json()
    if as_json:
        emit(facts, title=str(run), as_json=True)
    else:
        _print_table(run, facts)


def _print_table(run: Path, facts: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{run}: goals reached [95 % interval]", title_justify="left")
    for name in ("", *facts):
        table.add_column(name.replace("_", " "), justify="right" if name else "left")
    for who in next(iter(facts.values())):
        table.add_row(who, *(_cell(of_task[who]) for of_task in facts.values()))
    Console().print(table)


def _cell(trial: dict[str, Any]) -> str:
    rate = trial["success_rate"]
    return (
        f"{trial['successes']} of {trial['episodes']} [{rate['low']:.0%}, {rate['high']:.0%}], "
        f"ends {trial['mean_end_centimetres']:.1f} cm off"
    )
