"""report.png: the losses, the error by horizon, and two windows, on one sheet to look at."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase

from pipeline.report.curves import draw_losses
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import DIFFERENCE_COLOURS, Strip, StripRow, Window
from pipeline.report.theme import FONT_SIZE, LIGHT

MAX_WINDOWS: Final = 2


def draw_picture(run: RunRecord, table: HorizonTable, strip: Strip) -> Figure:
    """The sheet, in light colours."""
    figure = LIGHT.figure(13.0, 8.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(4, 5))
    left, right = upper.subfigures(1, 2)
    draw_losses(left, run.curves, run.recipe.schedule, LIGHT)
    draw_horizons(right, table, LIGHT)
    _draw_windows(lower, strip)
    return figure


def _draw_windows(figure: FigureBase, strip: Strip) -> None:
    windows = strip.windows[:MAX_WINDOWS]
    parts = np.atleast_1d(figure.subfigures(1, len(windows)))
    cells = [cell for part, window in zip(parts, windows, strict=True) for cell in _draw(part, strip, window)]
    scale = ScalarMappable(Normalize(0.0, strip.error_limit), DIFFERENCE_COLOURS)
    bar = figure.colorbar(scale, ax=cells, location="bottom", aspect=60, fraction=0.04)
    bar.set_label("error: mean |difference| over the channels of layer-normed latents", size=FONT_SIZE)


def _draw(figure: FigureBase, strip: Strip, window: Window) -> list[Axes]:
    rows = strip.rows(window)
    cells = figure.subplots(len(rows), len(window.thumbnails))
    for line, row in zip(cells, rows, strict=True):
        _fill(line, row)
    for frame, cell in enumerate(cells[0]):
        cell.set_title(f"{frame * strip.frame_seconds:g} s", fontsize=FONT_SIZE - 1)
    return list(cells.flat)


def _fill(cells: Sequence[Axes], row: StripRow) -> None:
    for cell in cells:
        cell.set(xticks=[], yticks=[])
        cell.spines[:].set_visible(False)
    cells[0].set_ylabel(row.name, rotation=0, ha="right", va="center", fontsize=FONT_SIZE - 1)
    for cell, picture in zip(cells[-len(row.pictures_FHWC) :], row.pictures_FHWC, strict=True):
        cell.imshow(picture, interpolation="nearest")
