"""The held-out error by horizon beside its baselines: as a table of numbers and as a figure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import NullLocator

from pipeline.report.theme import STROKES, Theme
from train.evaluation import COPY_LAST_FRAME, SHUFFLED_ACTION, ZERO_ACTION

PREDICTOR: Final = "predictor"
BASELINES: Final[Mapping[str, str]] = {
    COPY_LAST_FRAME: "predicts that nothing changes",
    ZERO_ACTION: "the predictor, told that the arm stands still",
    SHUFFLED_ACTION: "the predictor, told what the arm did in another clip",
}


@dataclass(frozen=True, kw_only=True)
class HorizonRow:
    """Errors of one way to predict, and those of the predictor divided by them; () in its own row.

    intervals: low and high of each error, () where nobody has measured them.
    """

    name: str
    meaning: str
    errors: tuple[float, ...]
    ratios: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HorizonTable:
    """L1 of layer-normed latents, one column a horizon, the predictor in the first row."""

    horizons: tuple[int, ...]
    frame_seconds: float
    rows: tuple[HorizonRow, ...]

    @classmethod
    def of(cls, evaluation: Mapping[str, Any]) -> "HorizonTable":
        """The numbers of evaluation.json as they are."""
        ours = tuple(evaluation["l1"])
        return cls(
            horizons=tuple(evaluation["horizons"]),
            frame_seconds=1.0 / evaluation["measured_on"]["frame_rate_hz"],
            rows=(
                HorizonRow(
                    name=PREDICTOR,
                    meaning="this run",
                    errors=ours,
                    ratios=(),
                    intervals=_intervals(evaluation),
                ),
                *_baseline_rows(ours, evaluation["baselines"]),
            ),
        )


def _intervals(evaluation: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    measured = evaluation.get("assessment")
    return () if measured is None else tuple((i["low"], i["high"]) for i in measured["prediction"]["l1"])


def _baseline_rows(ours: Sequence[float], baselines: Mapping[str, Sequence[float]]) -> Iterator[HorizonRow]:
    for name, meaning in BASELINES.items():
        errors = tuple(baselines[name])
        ratios = tuple(own / error for own, error in zip(ours, errors, strict=True))
        yield HorizonRow(name=name, meaning=meaning, errors=errors, ratios=ratios)


def draw_horizons(figure: FigureBase, table: HorizonTable, theme: Theme) -> None:
    """A line for every row over the frames ahead, on a doubling axis, with a band where it has intervals."""
    axes = figure.subplots()
    theme.style(axes)
    lines = [
        axes.plot(table.horizons, row.errors, color=colour, label=row.name, linewidth=1.6, **stroke)[0]
        for row, colour, stroke in zip(table.rows, theme.series, STROKES, strict=True)
    ]
    for row, line in zip(table.rows, lines, strict=True):
        if row.intervals:
            low, high = zip(*row.intervals, strict=True)
            axes.fill_between(table.horizons, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    # The run's own line is what is looked for, also where the others lie on it.
    lines[0].set_zorder(lines[-1].get_zorder() + 1)
    _mark_horizons(axes, table)
    axes.set_ylabel("L1 of layer-normed latents")
    theme.legend(figure, lines, "outside upper left", columns=2)


def _mark_horizons(axes: Axes, table: HorizonTable) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(table.horizons, [f"{h}\n{h * table.frame_seconds:g} s" for h in table.horizons])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("frames ahead, predicted from one frame and the actions")
