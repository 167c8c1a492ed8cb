"""`featurize`: the whole flow, or one step of it."""

from contextlib import nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.commands.output import JsonFlag, emit, say
from pipeline.commands.store_place import ON_DISK, READ_FROM
from pipeline.errors import OptionError


class Step(StrEnum):
    """The steps of a build, in order."""

    INDEX = "index"
    PLAN = "plan"
    CALIBRATE = "calibrate"
    ENCODE = "encode"
    FINALISE = "finalise"


Mode = Step | Literal["all", "join", "repair"]
"""What the command does: one step, the whole build, or something beside it."""


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("featurize")(featurize)


def featurize(
    source: Annotated[Path, typer.Option(help="Folder of DROID raw episodes.")],
    store: Annotated[
        Path,
        typer.Option(**ON_DISK, help="The feature store to make or to finish, such as features.zarr."),
    ],
    episode_list: Annotated[
        Path | None, typer.Option(help="Only the episodes this file names, a folder a line.")
    ] = None,
    step: Annotated[Step | None, typer.Option(help="Only this step; the others must have run.")] = None,
    slots: Annotated[
        str | None, typer.Option(help="With --step encode: only these slots, such as 3,7.")
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Encode slots of a store that another process is building.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Encode again the slots that `verify` finds damaged, and no others."),
    ] = False,
    cameras: Annotated[
        str | None, typer.Option(help="left, right, wrist; several with commas. [left]")
    ] = None,
    clock: Annotated[
        Literal["physical", "mp4_nominal"] | None,
        typer.Option(help="What the 4 Hz grid is measured on. [physical]"),
    ] = None,
    crop: Annotated[
        Literal["random", "official"] | None,
        typer.Option(help="The augmentation, one box per trajectory. [random]"),
    ] = None,
    num_views: Annotated[int | None, typer.Option(help="Trajectories per episode and camera. [1]")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides phases and crops. [0]")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="vjepa2-vitl, -vith, -vitg, timm:NAME. [vit-tiny-random]")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint: official .pt or Hugging Face .safetensors.")
    ] = None,
    statistics_from: Annotated[
        Path | None,
        typer.Option(**READ_FROM, help="Quantise by the channel statistics of this store, to merge later."),
    ] = None,
    checkpoint_key: Annotated[
        str | None, typer.Option(help="Network in the .pt: target_encoder or encoder.")
    ] = None,
    quantisation: Annotated[
        Literal["int8", "float16"] | None, typer.Option(help="How latents are stored. [int8]")
    ] = None,
    validation_share: Annotated[float | None, typer.Option(help="Share of episodes held out. [0.1]")] = None,
    max_rejects: Annotated[
        float, typer.Option(help="Share of rejected episodes above which the build fails.")
    ] = 0.2,
    encode_batch_frames: Annotated[int | None, typer.Option(help="Frames a forward pass. [32]")] = None,
    attention: Annotated[
        Literal["sdpa", "xformers", "auto"], typer.Option(help="What computes attention.")
    ] = "sdpa",
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1; default: the GPUs there are.")
    ] = None,
    read_timeout_seconds: Annotated[
        float, typer.Option(help="Reading an episode that takes longer is stuck, and the episode rejected.")
    ] = 120.0,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; default: one a GPU, or one a core.")
    ] = None,
    dask_address: Annotated[str | None, typer.Option(help="Scheduler of a running Dask cluster.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Encode every episode once into a feature store, through a Prefect flow.

    Run the same command again after a crash: it does only what is missing. Options left out continue a store
    as it was begun; [in brackets]: the default for a new one.

    A finished store grows: episodes that --source lists beyond its own are appended, and no finished slot is
    touched. Rejected episodes are looked at again by --step index alone, for when a file was mended.

    Example: `permafrost featurize --source data/demo --store data/demo.zarr`
    """
    if slots is not None and step is not Step.ENCODE:
        raise OptionError("--slots goes with --step encode.")
    mode = _mode(step, join=join, repair=repair)
    outcome = _run(mode, {
        "source": source, "store": store, "episode_list": episode_list, "slots": slots, "cameras": cameras,
        "clock": clock, "crop": crop, "num_views": num_views, "seed": seed, "encoder": encoder,
        "weights": weights, "statistics_from": statistics_from, "checkpoint_key": checkpoint_key,
        "quantisation": quantisation, "validation_share": validation_share, "max_rejects": max_rejects,
        "encode_batch_frames": encode_batch_frames, "attention": attention, "device": device,
        "read_timeout_seconds": read_timeout_seconds, "workers": workers, "dask_address": dask_address,
    })  # fmt: skip
    facts = asdict(outcome) if repair else _facts(store, outcome)
    emit(facts, title=str(store), as_json=as_json)


def _run(mode: Mode, options: dict[str, Any]) -> Any:
    from pipeline.builds import build_of, slots_of, workers_of
    from pipeline.growth_sentences import FoundBefore, growth_sentences
    from pipeline.prefect_server import prefect_server
    from store_schema.layout import read_attributes
    from store_schema.locks import hold_store

    # A wrong option is told at once, not after a server has started and a source has been indexed.
    slots, build, workers = slots_of(options["slots"]), build_of(options), workers_of(options)
    if mode in ("join", "repair"):
        read_attributes(build.store)  # or a mistyped name would become a folder
    # Before the server starts, so that a second build by mistake is told at once.
    held = nullcontext() if mode == "join" else hold_store(build.store)
    with held, prefect_server() as address:
        from prefect import tags

        from pipeline import featurize_flow as flows

        say(f"Prefect API: {address}")
        before = FoundBefore.at(build.store) if mode == "all" else None
        with tags("featurize", build.recipe.encoder):
            outcome = _run_flow(flows, build, workers, mode, slots)
    if before is not None:
        for told in growth_sentences(build, before):
            say(told)
    return outcome


def _run_flow(flows: Any, build: Any, workers: Any, mode: Mode, slots: list[int] | None) -> Any:
    match mode:
        case "all":
            return flows.featurize_flow(build, workers)
        case "join":
            return flows.join_flow(build, workers)
        case Step.ENCODE:
            return flows.encode_flow(build, slots, workers)
    return getattr(flows, f"{mode}_flow")(build)


def _mode(step: Step | None, *, join: bool, repair: bool) -> Mode:
    if join + repair + (step is not None) > 1:
        raise OptionError("--step, --join and --repair are different things to do; give one of them.")
    if step is not None:
        return step
    return "join" if join else "repair" if repair else "all"


def _facts(store: Path, outcome: Any) -> dict[str, Any]:
    """What the store holds; before `plan` there is none, and `index` says what it found."""
    from pipeline.store_facts import store_facts
    from store_schema.store import Store

    return store_facts(Store.open(store)) if (store / "zarr.json").exists() else asdict(outcome)
