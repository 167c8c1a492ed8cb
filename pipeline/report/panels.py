"""What figures of landscapes and of plans have in common: two views of space, thumbnails beside them."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure

from pipeline.report.frame_pair import FramePair
from pipeline.report.theme import FONT_SIZE, LIGHT, Theme

AXIS_NAMES: Final = "xyz"
CENTIMETRES: Final = 100.0
ROW_INCHES: Final = 3.5
SHEET_INCHES: Final = 9.6

ThingT = TypeVar("ThingT")


def two_panels(figure: FigureBase, theme: Theme) -> tuple[Axes, Axes]:
    """Side by side and quiet."""
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        theme.style(axes)
    return left, right


def sheet(
    things: Sequence[ThingT],
    pair_of: Callable[[ThingT], FramePair],
    draw: Callable[[FigureBase, ThingT, Theme], None],
) -> Figure:
    """All of them under one another in light colours, each with its two thumbnails to the left."""
    figure = LIGHT.figure(SHEET_INCHES, ROW_INCHES * len(things))
    rows = figure.subfigures(len(things), 2, width_ratios=(1, 3), squeeze=False)
    for (left, right), thing in zip(rows, things, strict=True):
        _draw_pair(left, pair_of(thing))
        draw(right, thing, LIGHT)
    return figure


def _draw_pair(figure: SubFigure, pair: FramePair) -> None:
    seen = zip(figure.subplots(2, 1), pair.names, (pair.start, pair.goal), strict=True)
    for axes, name, thumbnail in seen:
        axes.imshow(thumbnail)
        axes.set_axis_off()
        axes.set_title(f"frame {name}", fontsize=FONT_SIZE - 1)
