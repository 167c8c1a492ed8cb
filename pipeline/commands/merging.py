"""`merge`: one store out of several."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.output import JsonFlag, emit
from pipeline.commands.store_place import ON_DISK


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("merge")(merge)


def merge(
    stores: Annotated[list[Path], typer.Argument(**ON_DISK, help="Finished stores, two or more.")],
    out: Annotated[Path, typer.Option(**ON_DISK, help="The store to make, such as all.zarr.")],
    as_json: JsonFlag = False,
) -> None:
    """Join finished stores of equal fingerprint into one, without encoding anything again.

    Their channel statistics must be equal too: build the second with `featurize --statistics-from FIRST`.
    Run the same command again after a crash: it goes on.

    Example: `permafrost merge monday.zarr tuesday.zarr --out week.zarr`
    """
    from pipeline.progress_bar import progress_bar
    from store_schema.merge import merge_stores

    with progress_bar("merge", "slots") as draw:
        report = merge_stores(stores, out, draw)
    emit(asdict(report), title=str(out), as_json=as_json)
