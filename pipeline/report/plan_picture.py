"""A planned way and the recorded one, seen from above and from the side.

A store holds no intrinsics of the camera, so nothing is drawn into its pictures: they stand beside the paths.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipeline.report.frame_pair import FramePair
from pipeline.report.panels import AXIS_NAMES, CENTIMETRES, sheet, two_panels
from pipeline.report.theme import FONT_SIZE, STROKES, Theme
from train.measures.planned_path import PlannedPath

VIEWS: Final = ((0, 1, "from above"), (0, 2, "from the side"))
LEAST_CENTIMETRES: Final = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnPlan:
    """A start and a goal among the held-out frames, and the ways between them."""

    pair: FramePair
    path: PlannedPath


def draw_plan(figure: FigureBase, plan: DrawnPlan, theme: Theme) -> None:
    """Centimetres from where the end effector was at the start, on one scale in both views."""
    origin = plan.path.recorded_metres[0]
    ways = {
        "recorded": CENTIMETRES * (plan.path.recorded_metres - origin),
        "planned": CENTIMETRES * (plan.path.planned_metres - origin),
    }
    half = max(1.15 * _half_width(list(ways.values())), LEAST_CENTIMETRES)
    for axes, (across, up, seen) in zip(two_panels(figure, theme), VIEWS, strict=True):
        lines = _draw_view(axes, ways, (across, up), theme)
        _frame(axes, list(ways.values()), (across, up), half)
        axes.set(xlabel=f"{AXIS_NAMES[across]}, cm", ylabel=f"{AXIS_NAMES[up]}, cm")
        axes.set_title(seen, fontsize=FONT_SIZE, color=theme.text)
    theme.legend(figure, lines, "outside upper left", columns=4)


def draw_plans(plans: tuple[DrawnPlan, ...]) -> Figure:
    """All on one sheet."""
    return sheet(plans, lambda plan: plan.pair, draw_plan)


def _draw_view(
    axes: Axes, ways: dict[str, NDArray[np.float64]], view: tuple[int, int], theme: Theme
) -> list[Line2D]:
    lines = [
        axes.plot(*way[:, view].T, color=colour, label=name, markersize=4.5, linewidth=1.6, **stroke)[0]
        for (name, way), colour, stroke in zip(ways.items(), theme.series, STROKES, strict=False)
    ]
    ends = {"start": (ways["recorded"][0], "D"), "goal": (ways["recorded"][-1], "*")}
    for name, (place, marker) in ends.items():
        lines += axes.plot(
            *place[list(view), None], marker=marker, markersize=7 if marker == "D" else 14, label=name,
            color=theme.text, markerfacecolor="none", linestyle="none",
        )  # fmt: skip
    return lines


def _half_width(ways: list[NDArray[np.float64]]) -> float:
    """Of the smallest cube that holds all of them."""
    places = np.concatenate(ways)
    return float((places.max(axis=0) - places.min(axis=0)).max() / 2)


def _frame(axes: Axes, ways: list[NDArray[np.float64]], view: tuple[int, int], half: float) -> None:
    places = np.concatenate(ways)[:, view]
    (x, y) = (places.max(axis=0) + places.min(axis=0)) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
