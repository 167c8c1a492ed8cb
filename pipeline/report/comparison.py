"""Several runs side by side, and a run's measures with their intervals: a table and charts of ratios.

Legend: H horizons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from pipeline.assessment_table import DIFFERENCES_SAID, columns_of, side_by_side, trust_sentence
from pipeline.report.read_run import RunRecord
from pipeline.report.theme import STROKES, Theme
from pipeline.run_differences import MeasuredRun, differences_to_first
from train.evaluation import COPY_LAST_FRAME

ASSESSMENT: Final = "assessment"
FACTS: Final = "what it is"
DODGE: Final = 0.035
"""Of a doubling: curves stand beside one another where they would hide each other's intervals."""

Ratios = Mapping[str, Sequence[Mapping[str, float]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The run that a report is about, first, and those beside it. names: of their folders, told apart."""

    runs: tuple[RunRecord, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Unlike one another: a name that comes again gets its number."""
        own = [run.name for run in self.runs]
        return tuple(
            name if own.index(name) == number else f"{name} ({own[: number + 1].count(name)})"
            for number, name in enumerate(own)
        )

    @property
    def assessments(self) -> tuple[Mapping[str, Any] | None, ...]:
        """What `permafrost evaluate` found; None of a run that it was never called for."""
        return tuple(run.evaluation.get(ASSESSMENT) for run in self.runs)

    @cached_property
    def columns(self) -> dict[str, dict[str, dict[str, str]]]:
        """By heading: every run, what it is first, then every difference to the run that this is about."""
        measured = [MeasuredRun(evaluation=run.evaluation, sums=run.sums) for run in self.runs]
        differences = differences_to_first(dict(zip(self.names, measured, strict=True)))
        found = columns_of(dict(zip(self.names, self.assessments, strict=True)), differences)
        facts = {name: {FACTS: _facts(run)} for name, run in zip(self.names, self.runs, strict=True)}
        return {heading: facts.get(heading, {}) | column for heading, column in found.items()}

    def table(self) -> dict[str, dict[str, list[str]]]:
        """By section and by name a cell for each of `columns`."""
        return side_by_side(self.columns)

    def trust(self) -> dict[str, str]:
        """By the name of a run what its numbers rest on."""
        found = zip(self.names, self.assessments, strict=True)
        return {name: trust_sentence(measured["trust"]) for name, measured in found if measured is not None}

    def differences_said(self) -> str:
        """What a difference is, where there is one."""
        return DIFFERENCES_SAID if len(self.columns) > len(self.runs) else ""

    def unmeasured(self) -> list[str]:
        """Runs that have no column of numbers."""
        found = zip(self.names, self.assessments, strict=True)
        return [name for name, measured in found if measured is None]

    def ratios_to_copying(self) -> dict[str, list[dict[str, float]]]:
        """By the name of a run, at each horizon."""
        return {
            name: list(_ratios_to_copying(run.evaluation))
            for name, run in zip(self.names, self.runs, strict=True)
        }


def draw_ratios(
    figure: FigureBase, ratios: Ratios, horizons: Sequence[int], theme: Theme, *, label: str
) -> None:
    """A line for each name, with a bar from low to high where the ratio has an interval."""
    axes = figure.subplots()
    theme.style(axes)
    axes.axhline(1.0, color=theme.muted, linewidth=1.2)
    for number, (name, values) in enumerate(ratios.items()):
        beside_H = np.array(horizons) * 2.0 ** (DODGE * (number - (len(ratios) - 1) / 2))
        _draw_line(axes, _plain(name), values, beside_H, number, theme)
    axes.set_xscale("log", base=2)
    axes.set_xticks(horizons, [str(horizon) for horizon in horizons])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="frames ahead", ylabel=label)
    handles, _ = axes.get_legend_handles_labels()
    theme.legend(figure, handles, "outside upper left", columns=2)


def _draw_line(
    axes: Axes,
    name: str,
    values_H: Sequence[Mapping[str, float]],
    places_H: NDArray[np.float64],
    number: int,
    theme: Theme,
) -> None:
    means_H = np.array([value["mean"] for value in values_H])
    bars_2H = None
    if all("low" in value for value in values_H):
        bars_2H = np.abs([[value[end] for value in values_H] for end in ("low", "high")] - means_H)
    # Colours come round again sooner than pairs of colour and stroke.
    stroke = STROKES[(number + number // len(theme.series)) % len(STROKES)]
    colour = theme.series[number % len(theme.series)]
    axes.errorbar(places_H, means_H, bars_2H, color=colour, label=name, capsize=3, linewidth=1.4,
                  markersize=5, **stroke)  # fmt: skip


def _plain(name: str) -> str:
    """Of a folder, which may be called anything: no formula, and nothing that the font lacks."""
    return name.encode("ascii", "backslashreplace").decode().replace("$", r"\$").lstrip("_") or "run"


def _ratios_to_copying(evaluation: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    if ASSESSMENT in evaluation:
        yield from evaluation[ASSESSMENT]["prediction"]["ratio_to"][COPY_LAST_FRAME]
        return
    for own, copied in zip(evaluation["l1"], evaluation["baselines"][COPY_LAST_FRAME], strict=True):
        yield {"mean": own / copied}


def _facts(run: RunRecord) -> dict[str, str]:
    measured_on = run.evaluation["measured_on"]
    return {
        "predictor": run.recipe.preset,
        "updates": f"{run.checkpoint.step:,}",
        "encoder": measured_on["encoder"],
        "store": run.store.attributes.uuid[:8],
        "held-out starts": f"{measured_on['num_starts']:,}",
    }
