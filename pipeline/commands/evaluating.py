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
    Runs on one store are compared start by start: the interval of a difference tells them apart where their
    own intervals overlap.

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

    from pipeline.assessment_table import DIFFERENCES_SAID, side_by_side, trust_sentence
    from pipeline.run_differences import measured_columns

    table = Table(title="On held-out episodes: mean [95 % interval over trajectories]", title_justify="left")
    table.add_column("")
    columns = measured_columns(measured)
    for heading in columns:
        table.add_column(heading, justify="right")
    for section, rows in side_by_side(columns).items():
        table.add_row(section, *([""] * len(columns)), style="bold")
        for name, cells in rows.items():
            table.add_row(f"  {name}", *cells)
    Console().print(table)
    if len(columns) > len(measured):
        Console().print(DIFFERENCES_SAID, highlight=False)
    for path, of_run in measured.items():
        Console().print(f"{path}: {trust_sentence(of_run['assessment']['trust'])}", highlight=False)
