"""`status` and `verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.output import JsonFlag, emit

StoreArgument = Annotated[Path, typer.Argument(help="A feature store, finished or not.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command("status")(status)
    app.command("verify")(verify)


def status(store: StoreArgument, as_json: JsonFlag = False) -> None:
    """How far a store is: episodes, frames, slots, rejects by reason, encoder, clock.

    Example: `permafrost status data/demo.zarr`
    """
    from pipeline.store_facts import store_facts
    from store_schema.store import Store

    emit(store_facts(Store.open(store)), title=str(store), as_json=as_json)


def verify(
    store: StoreArgument,
    show_digest: Annotated[
        bool, typer.Option("--digest", help="Also hash all contents: equal stores, equal digests.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read every byte back and compare it with the ledger; exit code 1 with a list if anything differs.

    Example: `permafrost verify data/demo.zarr --digest`
    """
    from store_schema.integrity import digest, verify_hashes
    from store_schema.store import Store

    opened = Store.open(store)
    problems = [vars(problem) for problem in verify_hashes(opened)]
    facts: dict[str, Any] = {"ok": not problems, "slots": len(opened.ledger), "problems": problems}
    if show_digest:
        facts["digest"] = digest(store)
    emit(facts, title=str(store), as_json=as_json)
    if problems:
        raise typer.Exit(1)
