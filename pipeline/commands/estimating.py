"""`estimate`: what a build and the training after it will take, before either is begun."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from pipeline.commands.estimate_table import print_estimate
from pipeline.commands.output import JsonFlag, say
from pipeline.commands.store_place import ON_DISK
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from featurize.estimate import Figure, Workload
    from featurize.recipe import FeaturizeRecipe
    from featurize.sources.protocol import Source

DEFAULT_CALIBRATE_SECONDS: Final = 30.0


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("estimate")(estimate)


def estimate(
    source: Annotated[
        Path | None, typer.Option(help="Folder of DROID raw episodes; a sample is read.")
    ] = None,
    episode_list: Annotated[
        Path | None, typer.Option(help="With --source: only the episodes this file names.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Instead of --source: hours of recordings of one camera.")
    ] = None,
    episode_seconds: Annotated[
        float | None, typer.Option(help="With --hours: mean length of an episode. [9.7, as V-JEPA 2-AC's]")
    ] = None,
    cameras: Annotated[str, typer.Option(help="left, right, wrist; several with commas.")] = "left",
    clock: Annotated[
        Literal["physical", "mp4_nominal"] | None,
        typer.Option(help="With --source: what the 4 Hz grid is measured on. [physical]"),
    ] = None,
    num_views: Annotated[int, typer.Option(help="Trajectories per episode and camera.")] = 1,
    encoder: Annotated[
        str | None, typer.Option(help="vjepa2-vitl, -vith, -vitg, timm:NAME. [vit-tiny-random]")
    ] = None,
    quantisation: Annotated[
        Literal["int8", "float16"], typer.Option(help="How latents are stored.")
    ] = "int8",
    preset: Annotated[
        str | None, typer.Option(help="Predictor to train. [vjepa2-ac where it fits the encoder, or small]")
    ] = None,
    runs: Annotated[int, typer.Option(help="Training runs that will read the store.")] = 1,
    gpu: Annotated[
        str, typer.Option(help="a100, h100, h200, b200, l4, l40s, rtx3090, -4090, -5090.")
    ] = "h200",
    num_gpus: Annotated[int, typer.Option(help="How many of them.")] = 1,
    utilisation: Annotated[float, typer.Option(help="Share of the peak assumed for the encoder.")] = 0.6,
    predictor_utilisation: Annotated[
        float, typer.Option(help="Share of the peak assumed for the predictor.")
    ] = 0.5,
    store: Annotated[
        Path | None,
        typer.Option(**ON_DISK, help="Where the store will be: this disk is asked and measured."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure decode, encode and disk here first.")
    ] = False,
    calibrate_seconds: Annotated[
        float | None, typer.Option(help="With --calibrate: for how long in all. [30]")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="With --calibrate: worker processes; default: one a GPU, or one a core."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Frames, bytes, FLOPs and hours of a build, and what training will read, each with its formula.

    Nothing is built. --calibrate draws weights of the encoder's true size (4 GB of memory for vjepa2-vitg)
    and writes up to 1 GiB beside --store, which it removes again.

    Example: `permafrost estimate --hours 62 --num-views 4 --encoder vjepa2-vitg --gpu h200`
    """
    _check_options(
        source=source, hours=hours, calibrate=calibrate, episode_list=episode_list, clock=clock,
        episode_seconds=episode_seconds, calibrate_seconds=calibrate_seconds, workers=workers,
    )  # fmt: skip
    _check_ranges(
        {"--utilisation": utilisation, "--predictor-utilisation": predictor_utilisation},
        {
            "--hours": hours, "--episode-seconds": episode_seconds, "--num-views": num_views, "--runs": runs,
            "--num-gpus": num_gpus, "--calibrate-seconds": calibrate_seconds, "--workers": workers,
        },
    )  # fmt: skip
    from featurize.estimate import Compute
    from featurize.gpus import find_gpu
    from featurize.sources.droid_raw import DroidRaw
    from pipeline import estimation

    recipe = _recipe(cameras=cameras.split(","), clock=clock, num_views=num_views, encoder=encoder,
                     quantisation=quantisation)  # fmt: skip
    compute = Compute(gpu=find_gpu(gpu), num_gpus=num_gpus, utilisation=utilisation)
    predictor_compute = replace(compute, utilisation=predictor_utilisation)
    training = estimation.training_plan(recipe.encoder, preset, runs, predictor_compute)
    found = None if source is None else DroidRaw(source.absolute(), episode_list)
    workload, counts = _workload(found, recipe, hours, episode_seconds)
    groups = [counts, *estimation.planned_figures(workload, recipe, compute, training)]
    folder = estimation.disk_folder(store)
    if store is not None:
        groups[1].append(estimation.free_figure(folder))
    prediction = None
    if calibrate:
        asked = estimation.Calibration(
            source=found,
            folder=folder,
            seconds=DEFAULT_CALIBRATE_SECONDS if calibrate_seconds is None else calibrate_seconds,
            num_workers=workers,
        )
        prediction = estimation.predict_here(workload, recipe, asked, say)
        groups.append(prediction.figures)
    print_estimate(groups, prediction, recipe.quantisation, as_json=as_json)


def _check_options(*, source: Path | None, hours: float | None, calibrate: bool, **others: Any) -> None:
    """Raise OptionError where what is to be estimated is not clear, or an option would change nothing."""
    if (source is None) == (hours is None):
        raise OptionError("Give --source, a folder of episodes, or --hours, their length; one of the two.")
    needed = {
        "episode_list": ("--source", source is not None),
        "clock": ("--source", source is not None),
        "episode_seconds": ("--hours", hours is not None),
        "calibrate_seconds": ("--calibrate", calibrate),
        "workers": ("--calibrate", calibrate),
    }
    for name, (option, is_given) in needed.items():
        if others[name] is not None and not is_given:
            raise OptionError(f"--{name.replace('_', '-')} goes with {option}.")


def _check_ranges(shares: Mapping[str, float], amounts: Mapping[str, float | None]) -> None:
    for option, share in shares.items():
        if not 0 < share <= 1:
            raise OptionError(f"{option} is a share, above 0 and at most 1; got {share:g}.")
    for option, amount in amounts.items():
        if amount is not None and not 0 < amount < math.inf:
            raise OptionError(f"{option} is a number above 0; got {amount:g}.")


def _recipe(**given: Any) -> "FeaturizeRecipe":
    from featurize.recipe import FeaturizeRecipe

    return FeaturizeRecipe.model_validate({name: value for name, value in given.items() if value is not None})


def _workload(
    source: "Source | None", recipe: "FeaturizeRecipe", hours: float | None, episode_seconds: float | None
) -> "tuple[Workload, list[Figure]]":
    """The workload, and the figures that it is shown by."""
    from featurize.estimate import DEFAULT_EPISODE_SECONDS, workload_of_hours
    from featurize.survey import survey
    from pipeline.progress_bar import progress_bar

    if source is None:
        assert hours is not None
        workload = workload_of_hours(
            hours,
            num_views=recipe.num_views,
            num_cameras=len(recipe.cameras),
            episode_seconds=DEFAULT_EPISODE_SECONDS if episode_seconds is None else episode_seconds,
        )
        return workload, workload.figures
    with progress_bar("look", "episodes") as progress:
        surveyed = survey(source, recipe, on_progress=progress)
    return surveyed.workload, [*surveyed.figures, *surveyed.workload.figures]
