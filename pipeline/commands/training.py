"""`train` and `report`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.commands.as_flow import run_step
from pipeline.commands.online import EncoderOption, OnlineFlag, SourceOption, WeightsOption
from pipeline.commands.output import JsonFlag, emit, say

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
    batch_clips: Annotated[int | None, typer.Option(help="Clips of one update, over all GPUs.")] = None,
    micro_batch_clips: Annotated[
        int | None, typer.Option(help="Clips on a device at once; a resumed run keeps its own.")
    ] = None,
    memory_budget: Annotated[
        float | None,
        typer.Option(
            help="GiB of a device for an update: decides the clips at once, and what is computed twice. "
            "Default: what is free on the GPU; on a CPU any."
        ),
    ] = None,
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
    online: OnlineFlag = False,
    source: SourceOption = None,
    encoder: EncoderOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Train a predictor from a store: no video, no encoder in memory. Stops cleanly on Ctrl-C and resumes.

    Example: `permafrost train --store data/demo.zarr --run runs/demo --preset demo`

    On 8 GPUs: `torchrun --standalone --nproc-per-node 8 --no-python -- permafrost train ...`; the batch stays
    the same, so a run may go on with another number of them.

    Without latents: `permafrost train --online --source data/demo --store plan.zarr --run runs/online`
    decodes and encodes every clip when it is drawn, to the same losses. Where there is no store it makes one
    that holds nothing but the plan. Slower, and --source is needed to go on.
    """
    from pipeline.bench.synthetic_source import is_synthetic
    from pipeline.steps.fit import fit
    from pipeline.steps.requests import FitRequest
    from train.launch import is_first_process

    request = FitRequest.of({
        "store": store, "run": run, "store_revision": store_revision, "preset": preset, "head": head,
        "init": init, "steps": steps, "batch_clips": batch_clips, "micro_batch_clips": micro_batch_clips,
        "memory_budget": memory_budget, "clip_frames": clip_frames, "rollout_steps": rollout_steps,
        "sample_by": sample_by, "hours": hours, "subset_seed": subset_seed, "lr_peak": lr_peak,
        "weight_decay": weight_decay, "validate_every": validate_every, "checkpoint_every": checkpoint_every,
        "seed": seed, "online": online, "source": source, "encoder": encoder, "weights": weights,
        "device": device,
    })  # fmt: skip
    if is_first_process() and not online and is_synthetic(store):
        say(f"{store} holds random numbers of `permafrost bench --synthetic`: this run learns nothing.")
    with _one_process_tells():
        result = run_step(fit, "fit_flow", request)
    if not is_first_process():
        return
    say(result.outcome)
    if result.evaluation is not None:
        print_evaluation(result.evaluation, run, as_json=as_json)


@contextmanager
def _one_process_tells() -> Iterator[None]:
    """What stops the run is told by the process where it happened; the others print nothing."""
    from train.launch import is_first_process
    from train.ranks import OtherProcessError

    try:
        yield
    except OtherProcessError as error:
        if is_first_process():
            raise
        raise typer.Exit(1) from error


def report(run: RunArgument, store: TrainedStoreOption = None, device: DeviceOption = None) -> None:
    """Draw a run: one self-contained report.html, and the picture in it as report.png.

    Example: `permafrost report runs/demo`
    """
    from pipeline.steps.report import report as draw
    from pipeline.steps.requests import ReportRequest
    from train.run_folder import RunFolder

    store = store or RunFolder(run).remembered_store()
    files = run_step(draw, "report_flow", ReportRequest(run=run, store=store, device=device))
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
