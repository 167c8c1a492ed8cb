"""`bench`: what every stage reaches on this machine, against what the machine could do."""

import math
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.commands.bench_table import print_bench
from pipeline.commands.output import JsonFlag, say
from pipeline.commands.store_place import ON_DISK
from pipeline.commands.training import DeviceOption
from pipeline.errors import OptionError

DEFAULT_SECONDS: Final = 4.0
SYNTHETIC_ENCODER: Final = "vjepa2-vitg"
LARGER_THAN_MEMORY: Final = 1.25
"""Of a synthetic store: by this many times, so that the page cache keeps little of it."""


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("bench")(bench)


def bench(
    store: Annotated[
        Path, typer.Argument(**ON_DISK, help="A feature store; with --synthetic, where to write one.")
    ],
    source: Annotated[
        Path | None, typer.Option(help="Folder of DROID raw episodes: decoding is measured on them.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Predictor: demo, small, medium, vjepa2-ac. [vjepa2-ac where it fits, or medium]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each row; one pass at least.")] = DEFAULT_SECONDS,
    synthetic: Annotated[
        bool,
        typer.Option("--synthetic", help="Write a store of random ViT-g-sized latents first, and keep it."),
    ] = False,
    synthetic_gib: Annotated[
        float | None, typer.Option(help="With --synthetic: its size. [1.25 x the memory of this machine]")
    ] = None,
    device: DeviceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the bottleneck before a week-long run: what each stage reaches here, beside its limit.

    Every line is measured now, on this store and this machine: the limits (one thread copying memory, the
    disk read front to back, large matrix products) and what is held to them (clips out of the store, warm
    and cold; encoder; predictor). A ratio near 1 is as fast as the hardware; a small one is worth a look.
    The last line names what training waits for: if it is the predictor, a faster disk buys nothing; if it
    is reading, a faster GPU buys nothing.

    `read warm` is what a store that fits into memory gives after its first epoch, `read cold` what a larger
    one gives throughout: only a store larger than memory measures the latter for certain (--synthetic).
    `data wait` above 1 % says that the loop stands still for its clips.

    Nothing is written into STORE, but its files may leave the page cache.

    Example: `permafrost bench data/demo.zarr --preset demo --source data/demo`

    Example: `permafrost bench /scratch/synthetic.zarr --synthetic --json`
    """
    _check(seconds=seconds, synthetic=synthetic, synthetic_gib=synthetic_gib)
    from pipeline.bench.measurement import Asked, measure

    asked = Asked(store=store, seconds=seconds, source=source, preset=preset, device=device)
    if synthetic:
        asked.ensure_known()
        _write_synthetic(store, synthetic_gib)
    print_bench(measure(asked, say), as_json=as_json)


def _check(*, seconds: float, synthetic: bool, synthetic_gib: float | None) -> None:
    if synthetic_gib is not None and not synthetic:
        raise OptionError("--synthetic-gib goes with --synthetic.")
    for option, amount in (("--seconds", seconds), ("--synthetic-gib", synthetic_gib)):
        if amount is not None and not 0 < amount < math.inf:
            raise OptionError(f"{option} is a number above 0; got {amount:g}.")


def _write_synthetic(path: Path, gib: float | None) -> None:
    from pipeline.bench.synthetic import SyntheticStore, write_synthetic_store
    from pipeline.progress_bar import progress_bar
    from store_schema.direct_io import memory_bytes

    size_bytes = round(LARGER_THAN_MEMORY * memory_bytes() if gib is None else gib * 2**30)
    say(f"Writing {size_bytes / 2**30:.3g} GiB of random latents to {path}; remove it when you are done.")
    with progress_bar("write", "slots") as progress:
        asked = SyntheticStore(path=path, size_bytes=size_bytes, encoder=SYNTHETIC_ENCODER)
        write_synthetic_store(asked, progress)
