"""`train`, `evaluate` and `report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.commands.output import JsonFlag, emit, say

if TYPE_CHECKING:
    from train.loop import Progress

TrainedStoreOption = Annotated[Path | None, typer.Option(help="Default: the store it was trained on.")]
StoreOption = Annotated[Path, typer.Option(help="The feature store, made by `permafrost featurize`.")]
RevisionOption = Annotated[
    int | None, typer.Option(help="Of a store that has grown; default: the run's own, or the last finished.")
]
RunArgument = Annotated[Path, typer.Argument(help="The folder of a run, such as runs/demo.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1; default: the GPU if there is one.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("report")(report)


def train(
    store: StoreOption,
    run: Annotated[Path, typer.Option(help="Folder of the run; one with a checkpoint is resumed.")],
    store_revision: RevisionOption = None,
    preset: Annotated[str, typer.Option(help="Predictor: demo, small or vjepa2-ac.")] = "small",
    head: Annotated[
        Literal["absolute", "residual"] | None,
        typer.Option(help="Predict the next latent itself, as published, or its change."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Start from vjepa2-ac-vitg.pt or a checkpoint of ours.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates; the schedule's phases keep their proportions.")
    ] = None,
    batch_clips: Annotated[int | None, typer.Option(help="Clips of one update.")] = None,
    micro_batch_clips: Annotated[int | None, typer.Option(help="Clips on the device at once.")] = None,
    clip_frames: Annotated[int | None, typer.Option(help="Frames of a clip. [16]")] = None,
    rollout_steps: Annotated[int | None, typer.Option(help="Frames of the rollout loss. [2]")] = None,
    sample_by: Annotated[
        Literal["window", "episode"] | None, typer.Option(help="What is drawn uniformly.")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Train on a nested part of the recordings.")] = None,
    subset_seed: Annotated[int | None, typer.Option(help="With --hours: which part.")] = None,
    lr_peak: Annotated[float | None, typer.Option(help="Learning rate of the constant phase.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="On matrices only. [0.04]")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Updates between two validations.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Updates between two checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights and windows. [0]")] = None,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a predictor from a store: no video, no encoder in memory. Stops cleanly on Ctrl-C and resumes.

    Example: `permafrost train --store data/demo.zarr --run runs/demo --preset demo`
    """
    from pipeline.progress import progress_bar
    from train.recipe_defaults import recipe_for
    from train.trainer import train as train_run

    recipe = recipe_for(
        preset,
        head=head,
        steps=steps,
        batch_clips=batch_clips,
        micro_batch_clips=micro_batch_clips,
        clip_frames=clip_frames,
        rollout_steps=rollout_steps,
        sample_by=sample_by,
        hours=hours,
        subset_seed=subset_seed,
        lr_peak=lr_peak,
        weight_decay=weight_decay,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
    with progress_bar("train", "steps") as draw:

        def on_progress(progress: "Progress") -> None:
            draw(progress.step, progress.total_steps)

        result = train_run(
            recipe,
            store,
            run,
            store_revision=store_revision,
            init=init,
            device=device,
            on_progress=on_progress,
        )
    say(result.outcome)
    if result.evaluation is not None:
        print_evaluation(result.evaluation, run, as_json=as_json)


def evaluate(
    run: RunArgument,
    store: TrainedStoreOption = None,
    store_revision: RevisionOption = None,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """L1 of open-loop predictions on held-out episodes, beside its baselines, from the store alone.

    Example: `permafrost evaluate runs/demo`
    """
    from train.evaluation import evaluate as evaluate_run
    from train.run_folder import RunFolder

    store = store or RunFolder(run).remembered_store()
    measured = evaluate_run(run, store, store_revision=store_revision, device=device)
    print_evaluation(measured, run, as_json=as_json)


def report(run: RunArgument, store: TrainedStoreOption = None, device: DeviceOption = None) -> None:
    """Draw a run: one self-contained report.html, and the picture in it as report.png.

    Example: `permafrost report runs/demo`
    """
    from pipeline.report.write import write_report
    from train.run_folder import RunFolder

    store = store or RunFolder(run).remembered_store()
    files = write_report(run, store, device=device)
    places = {
        "Picture": files.picture,
        "Report": files.html,
        "Checkpoint": run / "checkpoint.pt",
        "Store": store,
    }
    say("\n".join(f"{name:<11} {place}" for name, place in places.items()))


def print_evaluation(measured: dict[str, Any], run: Path, *, as_json: bool) -> None:
    """The table of errors by horizon; ratios below one mean that the predictor is the better one."""
    if as_json:
        emit(measured, title=str(run), as_json=True)
        return
    from rich.console import Console
    from rich.table import Table

    measured_on = measured["measured_on"]
    num_starts, num_trajectories = measured_on["num_starts"], measured_on["num_trajectories"]
    title = f"L1 on {num_starts} starts of {num_trajectories} held-out trajectories"
    table = Table(title=title, title_justify="left")
    table.add_column("frames ahead")
    for horizon in measured["horizons"]:
        table.add_column(str(horizon), justify="right")
    table.add_row("predictor", *(f"{error:.4f}" for error in measured["l1"]), style="bold")
    for name, errors in measured["baselines"].items():
        table.add_row(name.replace("_", " "), *(f"{error:.4f}" for error in errors))
        ratios = (f"{ours / theirs:.3f}" for ours, theirs in zip(measured["l1"], errors, strict=True))
        table.add_row("  predictor / it", *ratios, style="dim")
    Console().print(table)
