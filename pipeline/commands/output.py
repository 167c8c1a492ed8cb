"""What a command prints: a JSON object alone on stdout for programs, or a table for people."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")
]


def say(message: str) -> None:
    """A message for people, on stderr."""
    Console(stderr=True).print(message, highlight=False, soft_wrap=True)


def emit(facts: Mapping[str, Any], *, title: str, as_json: bool) -> None:
    """Print facts on stdout: as JSON, or as a two-column table."""
    if as_json:
        print(json.dumps(facts, sort_keys=False))
        return
    table = Table(title=Text(title), title_justify="left", show_header=False)
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), Text(_shown(value), overflow="fold"))
    Console().print(table)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_shown(item)}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return str(value)
