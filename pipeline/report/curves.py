"""Training seen over its updates: the losses, the learning rate with its phases, and the held-out errors.

Legend: S updates, C columns drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.report.read_run import TrainingCurves, Validation
from pipeline.report.theme import STROKES, Theme
from train.evaluation import COPY_LAST_FRAME
from train.schedule import Phase, WarmupConstantDecay

MAX_COLUMNS: Final = 500
"""Points of a curve; more cannot be told apart at the width of a page."""

_PHASES: Final[tuple[Phase, ...]] = ("warm-up", "constant", "decay")


@dataclass(frozen=True, kw_only=True)
class PhaseBand:
    """A phase of the schedule over updates [start, stop), counted from 0."""

    phase: Phase
    start: int
    stop: int

    @property
    def label(self) -> str:
        """Its name and its updates counted from 1, as the log counts them: `warm-up 1-33`, `decay 6`."""
        first, last = f"{self.start + 1:,}", f"{self.stop:,}"
        return f"{self.phase} {first}" if first == last else f"{self.phase} {first}\N{EN DASH}{last}"


def phase_bands(schedule: WarmupConstantDecay) -> list[PhaseBand]:
    """The phases that have at least one update, in order."""
    lengths = (schedule.warmup_steps, schedule.constant_steps, schedule.decay_steps)
    bands, start = [], 0
    for phase, length in zip(_PHASES, lengths, strict=True):
        if length:
            bands.append(PhaseBand(phase=phase, start=start, stop=start + length))
        start += length
    return bands


@dataclass(frozen=True, kw_only=True, eq=False)
class Condensed:
    """A curve in at most `MAX_COLUMNS` columns of equally many updates, float64 (C,) each."""

    step_C: NDArray[np.float64]
    mean_C: NDArray[np.float64]
    low_C: NDArray[np.float64]
    high_C: NDArray[np.float64]


def condense(step_S: NDArray[np.int64], value_S: NDArray[np.float64]) -> Condensed:
    """Mean, least and greatest value of every column; a short curve comes back as it is."""
    starts = np.arange(0, len(step_S), -(-len(step_S) // MAX_COLUMNS))
    counts = np.diff(np.append(starts, len(step_S)))
    return Condensed(
        step_C=np.add.reduceat(step_S.astype(np.float64), starts) / counts,
        mean_C=np.add.reduceat(value_S, starts) / counts,
        low_C=np.minimum.reduceat(value_S, starts),
        high_C=np.maximum.reduceat(value_S, starts),
    )


def draw_losses(
    figure: FigureBase, curves: TrainingCurves, schedule: WarmupConstantDecay, theme: Theme
) -> None:
    """Both losses over the learning rate, on one axis of updates with the phases behind them."""
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(5, 2))
    for axes in (losses, rate):
        theme.style(axes)
        bands = _shade(axes, phase_bands(schedule), theme)
    lines = [
        _draw_condensed(losses, condense(curves.step_S, value_S), name, colour)
        for (name, value_S), colour in zip(curves.losses.items(), theme.series, strict=False)
    ]
    losses.set_ylabel("L1 loss")
    condensed = condense(curves.step_S, curves.learning_rate_S)
    rate.plot(condensed.step_C, condensed.mean_C, color=theme.text, linewidth=1.6)
    rate.set_ylabel("learning\nrate")
    rate.ticklabel_format(axis="y", style="plain")
    rate.set_ylim(bottom=0.0)
    _count_updates(rate, schedule)
    theme.legend(figure, lines, "outside upper left", columns=2)
    theme.legend(figure, bands, "outside lower left", columns=3)


def draw_held_out(
    figure: FigureBase, validations: Sequence[Validation], schedule: WarmupConstantDecay, theme: Theme
) -> None:
    """Held-out error divided by that of copying the last frame, over updates, a line a horizon."""
    axes = figure.subplots()
    theme.style(axes)
    axes.axhline(1.0, color=theme.muted, linewidth=1.2)
    steps = [validation.step for validation in validations]
    lines = [
        axes.plot(steps, ratios, color=colour, label=f"{horizon} ahead", clip_on=False, **stroke)[0]
        for (horizon, ratios), colour, stroke in zip(
            _ratios_by_horizon(validations).items(), theme.series, STROKES, strict=False
        )
    ]
    axes.set_ylabel(f"L1 / L1 of {COPY_LAST_FRAME}")
    _count_updates(axes, schedule)
    theme.legend(figure, lines, "outside upper left", columns=4)


def _shade(axes: Axes, bands: Sequence[PhaseBand], theme: Theme) -> list[Artist]:
    colours = dict(zip(_PHASES, theme.bands, strict=True))
    return [
        axes.axvspan(band.start, band.stop, color=colours[band.phase], label=band.label, zorder=0)
        for band in bands
    ]


def _draw_condensed(axes: Axes, curve: Condensed, name: str, colour: str) -> Artist:
    axes.fill_between(curve.step_C, curve.low_C, curve.high_C, color=colour, alpha=0.2, linewidth=0)
    return axes.plot(curve.step_C, curve.mean_C, color=colour, linewidth=1.4, label=name)[0]


def _count_updates(axes: Axes, schedule: WarmupConstantDecay) -> None:
    axes.set_xlabel("updates done")
    axes.set_xlim(0, schedule.total_steps)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _ratios_by_horizon(validations: Sequence[Validation]) -> dict[int, list[float]]:
    return {
        horizon: [v.l1[column] / v.baselines[COPY_LAST_FRAME][column] for v in validations]
        for column, horizon in enumerate(validations[0].horizons)
    }
