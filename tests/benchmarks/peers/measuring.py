"""What the peer benchmarks share: alternating measurements in one process, and the table they end in."""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: `ratio` is above 1 where ours is ahead, `low` and `high` are its quartiles."""

    what: str
    ours: float | None
    peer: float
    unit: str
    ratio: float | None
    low: float | None
    high: float | None


def alternate(
    measures: Mapping[str, Callable[[], float]],
    *,
    rounds: int,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Call every measure once a round, in turn, and collect what each returns.

    Whatever else the machine does in a round hits all of them, so ratios are formed within rounds. Every
    other round goes backwards, so that nobody is always the one after the heaviest.
    """
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(-warm_up, rounds):
        names = list(measures) if number % 2 else list(reversed(measures))
        for name in names:
            value = measures[name]()
            if number >= 0:
                taken[name].append(value)
    return taken


def faster(what: str, ours: list[float], peer: list[float]) -> Row:
    """Seconds of both; the ratio says how many times ours is faster."""
    return _row(what, ours, peer, [p / o for o, p in zip(ours, peer, strict=True)], "seconds")


def share_of(limit_seconds: list[float], seconds: list[float]) -> float:
    """Median share of the limit's rate that was reached, 1.0 where both took as long."""
    return statistics.median(limit / s for limit, s in zip(limit_seconds, seconds, strict=True))


def against_limit(
    what: str, ours: list[float] | None, peer: list[float], limit: list[float], limit_name: str
) -> Row:
    """Rates as shares of a limit taken in the same rounds; without `ours` the row tells the peer's alone."""
    peer_share = share_of(limit, peer)
    unit = f"of {limit_name}"
    if ours is None:
        return Row(what=what, ours=None, peer=peer_share, unit=unit, ratio=None, low=None, high=None)
    row = _row(what, ours, peer, [p / o for o, p in zip(ours, peer, strict=True)], unit)
    return Row(**{**asdict(row), "ours": share_of(limit, ours), "peer": peer_share})


def finish(title: str, rows: list[Row], facts: Mapping[str, object], as_json: Path | None) -> None:
    """Print the table and what it was measured with; write both to `as_json` if asked to."""
    print(f"\n{title}")
    for name, value in facts.items():
        print(f"  {name}: {value}")
    columns = ("what", "ours", "peer", "unit", "ours is x times", "quartiles")
    cells = [columns, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if as_json is not None:
        content = {"title": title, "facts": dict(facts), "rows": [asdict(row) for row in rows]}
        as_json.write_text(json.dumps(content, indent=1, default=str) + "\n")


def wait_for(device: torch.device) -> None:
    """Return when a GPU has done all that was asked of it; a CPU has always done so."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """`--rounds`, `--threads` and `--json`."""
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds; medians over these")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch, for both sides")
    parser.add_argument("--json", type=Path, help="write the table here too")


def _row(what: str, ours: list[float], peer: list[float], ratios: list[float], unit: str) -> Row:
    low, middle, high = _quartiles(ratios)
    return Row(
        what=what,
        ours=statistics.median(ours),
        peer=statistics.median(peer),
        unit=unit,
        ratio=middle,
        low=low,
        high=high,
    )


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low is None or row.high is None else f"{_short(row.low)}-{_short(row.high)}"
    return row.what, _short(row.ours), _short(row.peer), row.unit, _short(row.ratio), spread


def _short(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
