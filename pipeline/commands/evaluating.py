"""`evaluate`: how good a run is, or several runs side by side."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.as_flow import run_step
from pipeline.commands.output import JsonFlag, emit, say
from pipeline.commands.training import DeviceOption, RevisionOption, RunArgument, TrainedStoreOption


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("evaluate")(evaluate)


def evaluate(
    run: RunArgument,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another run, beside the first; may be given again.")
    ] = None,
    store: TrainedStoreOption = None,
    store_revision: RevisionOption = None,
    starts: Annotated[
        int, typer.Option(min=1, help="Held-out starts that actions are planned for, of all trajectories.")
    ] = 24,
    samples: Annotated[
        int, typer.Option(min=10, help="Sequences that CEM tries in each round; the paper: 800.")
    ] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of CEM; the paper: 10.")] = 5,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Errors, planning, energy, retrieval and probe on held-out episodes, from the store alone.

    Every number stands with its 95 % interval, over trajectories. Needs no encoder, no video, no robot.

    Example: `permafrost evaluate runs/demo --against runs/other`
    """
    from pipeline.steps.evaluate import evaluate as measure
    from pipeline.steps.requests import EvaluateRequest

    request = EvaluateRequest(
        runs=(run, *(against or ())),
        store=store,
        store_revision=store_revision,
        starts=starts,
        samples=samples,
        rounds=rounds,
        device=device,
    )
    say(f"Evaluating {', '.join(map(str, request.runs))}.")
    measured = run_step(measure, "evaluate_flow", request)
    if as_json:
        emit(measured if against else measured[str(run)], title=str(run), as_json=True)
    else:
        _print_table(measured)


def _print_table(measured: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.assessment_table import sections

    table = Table(title="On held-out episodes: mean [95 % interval over trajectories]", title_justify="left")
    table.add_column("")
    for path in measured:
        table.add_column(path, justify="right")
    columns = [sections(of_run["assessment"]) for of_run in measured.values()]
    for section in dict.fromkeys(name for column in columns for name in column):
        table.add_row(section, *([""] * len(columns)), style="bold")
        cells = [dict(column.get(section, [])) for column in columns]
        for name in dict.fromkeys(name for of_run in cells for name in of_run):
            table.add_row(f"  {name}", *(of_run.get(name, "") for of_run in cells))
    Console().print(table)
    for path, of_run in measured.items():
        Console().print(_trust(path, of_run["assessment"]["trust"]), highlight=False)


def _trust(path: str, trust: dict[str, Any]) -> str:
    return (
        f"{path}: {trust['num_starts']} starts of {trust['num_trajectories']} trajectories from "
        f"{trust['num_labs']} labs, {trust['num_planned_starts']} of them planned for, in "
        f"{trust['share_within_bounds']:.0%} of which the recorded action lies within the bounds; held out: "
        f"{trust['held_out']}; store revision {trust['store_revision']}, clock {trust['clock']}, "
        f"crop {trust['crop']}."
    )
