"""`status` and `inspect`: what a store holds and how far it is, in any state."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.output import JsonFlag, emit
from pipeline.commands.store_lines import detail_lines, status_lines
from pipeline.commands.store_place import READ_FROM
from pipeline.errors import NothingStoredError, OptionError

if TYPE_CHECKING:
    from pipeline.store_states import FoundStore

StoreArgument = Annotated[
    Path, typer.Argument(**READ_FROM, help="A feature store in any state, finished or not; s3://... too.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("status")(status)
    app.command("inspect")(inspect)


def status(store: StoreArgument, as_json: JsonFlag = False) -> None:
    """How far a store is: episodes, frames, rate and time left, bytes, rejects, and what to run next.

    Answers in every state. Exit code 1 where the store is damaged, with the fault named.

    Example: `permafrost status data/demo.zarr`
    """
    from pipeline.store_accounts import status_account
    from pipeline.store_states import find_store
    from store_schema.remote_files import place_of

    account = status_account(find_store(store))
    emit(account if as_json else status_lines(account), title=place_of(store), as_json=as_json)
    if account["faults"]:
        raise typer.Exit(1)


def inspect(
    store: StoreArgument,
    frames: Annotated[
        int | None, typer.Option(help="Draw this many frames of a few trajectories, latents in PCA colours.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="With --frames: the PNG to write. [the store's name here]")
    ] = None,
    trajectory: Annotated[
        int | None, typer.Option(help="With --frames: only this trajectory, by its index.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --frames: chooses the trajectories. [0]")] = None,
    as_json: JsonFlag = False,
) -> None:
    """All that a store says of itself: splits, encoder, recipe, source, versions; --frames draws it.

    Answers in every state. Exit code 1 where the store is damaged, with the fault named.

    Example: `permafrost inspect data/demo.zarr --frames 3`
    """
    from pipeline.store_accounts import inspect_account
    from pipeline.store_states import find_store
    from store_schema.remote_files import place_of

    if frames is None and (output, trajectory, seed) != (None, None, None):
        raise OptionError("--output, --trajectory and --seed go with --frames.")
    if seed is not None and seed < 0:
        raise OptionError(f"--seed is 0 or more; got {seed}.")
    found = find_store(store)
    account = inspect_account(found)
    if frames is not None and not account["faults"]:
        picture = output or Path(f"{store.resolve().stem}.png")
        _draw(found, picture, frames, trajectory, seed or 0)
        account["picture"] = str(picture)
    emit(account if as_json else detail_lines(account), title=place_of(store), as_json=as_json)
    if account["faults"]:
        raise typer.Exit(1)


def _draw(found: "FoundStore", picture: Path, frames: int, trajectory: int | None, seed: int) -> None:
    from pipeline.report.images import png_bytes
    from pipeline.report.store_picture import draw_store_picture
    from pipeline.stored_frames import draw_stored_frames
    from store_schema.atomic import write_atomically

    if found.opened is None:
        raise NothingStoredError(
            f"{found.path} is not planned yet, so there is no frame to draw. {found.next_step}"
        )
    drawn = draw_stored_frames(found.opened, frames, trajectory=trajectory, seed=seed)
    write_atomically(picture, png_bytes(draw_store_picture(found.opened, drawn)))
