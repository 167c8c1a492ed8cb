"""A benchmark as people and as programs read it."""

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.output import emit
from pipeline.commands.quantities import shown_quantity

if TYPE_CHECKING:
    from pipeline.bench.measurement import Measured
    from pipeline.bench.rows import Row


def print_bench(measured: "Measured", *, as_json: bool) -> None:
    """Print the rows on stdout: a table and the bottleneck in words, or one JSON object."""
    if as_json:
        emit(_facts(measured), title="bench", as_json=True)
        return
    console = Console()
    console.print(_table(measured.rows))
    for line in [*_notes(measured.rows), *_conditions(measured)]:
        console.print(line, highlight=False, style="dim")
    console.print(measured.verdict.sentence, highlight=False)


def _facts(measured: "Measured") -> dict[str, Any]:
    from pipeline.bench.measurement import device_name
    from store_schema.direct_io import memory_bytes

    recipe, reading = measured.recipe, measured.reading
    return {
        "rows": [row.to_json() for row in measured.rows],
        "notes": {row.what: row.note for row in measured.rows},
        "bottleneck": measured.verdict.bottleneck,
        "conclusion": measured.verdict.sentence,
        "store": measured.store.path.name,
        "source": measured.store.attributes.source.name,
        "store_bytes": reading.store_bytes,
        "memory_bytes": memory_bytes(),
        "device": device_name(measured.device),
        "preset": recipe.preset,
        "batch_clips": recipe.batch_clips,
        "clip_frames": recipe.clip_frames,
        "seconds_per_row": reading.seconds,
    }


def _conditions(measured: "Measured") -> list[str]:
    facts = _facts(measured)
    sizes = (" ".join(shown_quantity(facts[name], "bytes")) for name in ("store_bytes", "memory_bytes"))
    return [
        "{store} ({source}): {0} that training reads; this machine: {1} of memory, {device}.".format(
            *sizes, **facts
        ),
        "Preset {preset}: {batch_clips} clips x {clip_frames} frames an update.".format(**facts),
    ]


def _notes(rows: "list[Row]") -> list[str]:
    return [f"{row.what}: {row.note}." for row in rows if row.note]


def _table(rows: "list[Row]") -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    # Where there is no room, words wrap, and numbers stay whole.
    table.add_column("what")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("limit")
    table.add_column("ratio", justify="right", no_wrap=True)
    for row in rows:
        number, unit = ("-", row.unit) if row.value is None else shown_quantity(row.value, row.unit)
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(row.what, number, unit, row.limit or "", ratio)
    return table
