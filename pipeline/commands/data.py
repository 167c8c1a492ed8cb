"""`demo-data` and `describe`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.output import JsonFlag, emit, say
from pipeline.errors import OptionError


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("demo-data")(demo_data)
    app.command("describe")(describe)


def demo_data(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist, or be empty.")],
    episodes: Annotated[int, typer.Option(help="How many episodes.")] = 8,
    seed: Annotated[int, typer.Option(help="An episode is a function of the seed and its number.")] = 0,
    size: Annotated[
        str, typer.Option(help="Video size as WIDTHxHEIGHT; DROID's own is 1280x720.")
    ] = "320x180",
) -> None:
    """Write sample episodes of a robot arm at a table, in DROID's exact raw format.

    Example: `permafrost demo-data data/demo --episodes 8 --seed 0`
    """
    from featurize.demo_data import write_demo_data
    from pipeline.progress_bar import progress_bar

    width_px, height_px = _parse_size(size)
    with progress_bar("demo data", "episodes") as progress:
        folders = write_demo_data(
            out, num_episodes=episodes, seed=seed, width_px=width_px, height_px=height_px, progress=progress
        )
    say(f"Wrote {len(folders)} episodes to {out}")


def describe(
    name: Annotated[
        str, typer.Argument(help="An encoder (vjepa2-vitg, timm:NAME, ...) or predictor preset (vjepa2-ac).")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Parameters, FLOPs and shapes of an encoder or a predictor preset, without building its weights.

    Example: `permafrost describe vjepa2-vitg`
    """
    from featurize.encoder.errors import UnknownEncoderError
    from featurize.encoder.registry import describe as describe_encoder
    from train.describe import describe as describe_predictor
    from train.presets import PRESETS

    try:
        facts = describe_predictor(name) if name in PRESETS else describe_encoder(name)
    except UnknownEncoderError as error:
        raise OptionError(f"{error} Predictor presets: {', '.join(PRESETS)}.") from error
    emit(facts, title=name, as_json=as_json)


def _parse_size(size: str) -> tuple[int, int]:
    width, cross, height = size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise OptionError(f"--size is WIDTHxHEIGHT in pixels, such as 1280x720; got '{size}'.")
    return int(width), int(height)
