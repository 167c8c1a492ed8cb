"""`verify`: is a store what it says it is?"""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.commands.output import JsonFlag, emit
from pipeline.commands.store_place import READ_FROM, require_on_disk
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store_schema.problem import Problem

SHOWN: Final = 20


class Level(StrEnum):
    """How deep to look, each with those before it."""

    SCHEMA = "schema"
    HASHES = "hashes"
    VALUES = "values"


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command("verify")(verify)


def verify(
    store: Annotated[
        Path, typer.Argument(**READ_FROM, help="A feature store, finished or not; s3://... works too.")
    ],
    level: Annotated[
        Level,
        typer.Option(help="schema: structure and tables; hashes: every byte too; values: the numbers too."),
    ] = Level.HASHES,
    source: Annotated[
        Path | None,
        typer.Option(help="With --level values: encode some frames again from this folder and compare."),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="With --source: how many frames. [16]")] = None,
    seed: Annotated[int | None, typer.Option(help="With --source: chooses the frames. [0]")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="With --source: the encoder's checkpoint, where not found by name.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="With --source: cpu, cuda, cuda:1. [the GPU if there is one]")
    ] = None,
    show_digest: Annotated[
        bool, typer.Option("--digest", help="Also hash all contents: equal stores, equal digests.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read a store back and list what is wrong with it, and where; exit code 1 if anything is.

    Example: `permafrost verify data/demo.zarr --level values --source data/demo`
    """
    if source is None and (frames, seed, weights, device) != (None, None, None, None):
        raise OptionError("--frames, --seed, --weights and --device go with --source.")
    if source is not None and level is not Level.VALUES:
        raise OptionError("--source goes with --level values.")
    if source is not None or show_digest:
        require_on_disk(store, "--digest" if source is None else "--source")
    from store_schema.remote_files import place_of

    problems, num_slots = _problems(store, level)
    if source is not None and not problems:
        problems = _source_problems(store, source, frames, seed, weights, device)
    facts = _facts(store, level, problems, num_slots, show_digest)
    emit(facts if as_json else _shown(facts, problems, store), title=place_of(store), as_json=as_json)
    if problems:
        raise typer.Exit(1)


def _problems(store: Path, level: Level) -> "tuple[list[Problem], int]":
    """What is wrong, and how many slots were read to find it."""
    from pipeline.progress_bar import progress_bar
    from store_schema.verify import verify_hashes, verify_schema, verify_values

    if level is Level.SCHEMA:
        return list(verify_schema(store)), 0
    verify_bytes = verify_hashes if level is Level.HASHES else verify_values
    num_slots = 0
    with progress_bar("Verifying", "slots") as draw:

        def report(done: int, total: int) -> None:
            nonlocal num_slots
            num_slots = done
            draw(done, total)

        return list(verify_bytes(store, report)), num_slots


def _source_problems(
    store: Path,
    source: Path,
    frames: int | None,
    seed: int | None,
    weights: Path | None,
    device: str | None,
) -> "list[Problem]":
    from featurize.recipe import Build, FeaturizeRecipe, planned_recipe
    from featurize.reencode import reencode_problems

    build = Build(
        recipe=planned_recipe(store) or FeaturizeRecipe(),
        store=store.absolute(),
        source_root=source.absolute(),
        weights=weights and weights.absolute(),
        device=device,
    )
    return list(reencode_problems(build, num_frames=16 if frames is None else frames, seed=seed or 0))


def _facts(
    store: Path, level: Level, problems: "Sequence[Problem]", num_slots: int, show_digest: bool
) -> dict[str, Any]:
    from store_schema.integrity import digest

    listed = [{"kind": p.kind, "where": p.where, "detail": p.detail} for p in problems]
    facts: dict[str, Any] = {"ok": not problems, "level": level.value, "slots": num_slots, "problems": listed}
    # A damaged store is equal to none.
    return facts | ({"digest": None if problems else digest(store)} if show_digest else {})


def _shown(facts: dict[str, Any], problems: "Sequence[Problem]", store: Path) -> dict[str, Any]:
    """For people: how many of each kind, the first ones, and what to do."""
    if not problems:
        return facts | {"problems": "none"}
    lines = [f"{problem.where}: {problem.detail}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more; --json lists all")
    kinds = Counter(problem.kind for problem in problems)
    return facts | {
        "kinds": dict(kinds),
        "problems": "\n".join(lines),
        "what to do": _remedy(problems, store),
    }


def _remedy(problems: "Sequence[Problem]", store: Path) -> str:
    from store_schema.remote_files import address_of

    if address_of(store) is not None:
        return "Upload these files anew from the store that was built; nothing is mended on object storage."
    if all(problem.is_mendable for problem in problems):
        num_slots = len({problem.slot for problem in problems} - {None})
        return (
            f"permafrost featurize --source ... --store {store} --repair encodes {num_slots} slots again, "
            "and no others."
        )
    if {problem.kind for problem in problems} <= {"wrong_value", "differs_from_source"}:
        return "These bytes are what was written: look at source and weights, then build the store anew."
    return "Restore the files named from a copy; then verify again, and repair the slots that remain."
