"""report.png: the losses, the error by horizon, and a few windows, on one sheet to look at."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from pipeline.report.curves import draw_losses
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import DIFFERENCE_COLOURS, Strip, StripRow, Window
from pipeline.report.theme import FONT_SIZE, LIGHT

MAX_WINDOWS: Final = 2
_PICTURE_SIDE: Final = 0.94  # of a cell, the rest is the gap to the next


def draw_picture(run: RunRecord, table: HorizonTable, strip: Strip) -> Figure:
    """The sheet, in light colours."""
    figure = LIGHT.figure(13.0, 8.4)
    grid = figure.add_gridspec(2, 2, height_ratios=(4, 5))
    draw_losses(figure.add_subfigure(grid[0, 0]), run.curves, run.recipe.schedule, LIGHT)
    draw_horizons(figure.add_subfigure(grid[0, 1]), table, LIGHT)
    _draw_windows(figure.add_subfigure(grid[1, :]), strip)
    return figure


def _draw_windows(figure: SubFigure, strip: Strip) -> None:
    windows = strip.windows[:MAX_WINDOWS]
    (line,) = figure.subplots(1, len(windows), squeeze=False, sharey=True)
    for axes, window in zip(line, windows, strict=True):
        _draw_window(axes, strip, window)
    scale = ScalarMappable(Normalize(0.0, strip.error_limit), DIFFERENCE_COLOURS)
    bar = figure.colorbar(scale, ax=list(line), location="bottom", aspect=60, fraction=0.04)
    bar.set_label("error: mean |difference| over the channels of layer-normed latents", size=FONT_SIZE)


def _draw_window(axes: Axes, strip: Strip, window: Window) -> None:
    rows, num_frames = strip.rows(window), len(window.thumbnails)
    for number, row in enumerate(rows):
        _draw_row(axes, row, number, first_column=num_frames - len(row.pictures_FHWC))
    axes.set(xlim=(0, num_frames), ylim=(len(rows), 0), aspect="equal")
    middle = _PICTURE_SIDE / 2
    seconds = [f"{frame * strip.frame_seconds:g}" for frame in range(num_frames)]
    axes.set_xticks([frame + middle for frame in range(num_frames)], seconds)
    axes.set_yticks([number + middle for number in range(len(rows))], [row.name for row in rows])
    axes.tick_params(
        length=0, labelsize=FONT_SIZE - 1, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    axes.set_title("a held-out window, seconds ahead", fontsize=FONT_SIZE)
    axes.spines[:].set_visible(False)


def _draw_row(axes: Axes, row: StripRow, number: int, *, first_column: int) -> None:
    for column, picture in enumerate(row.pictures_FHWC, start=first_column):
        extent = (column, column + _PICTURE_SIDE, number + _PICTURE_SIDE, number)
        axes.imshow(picture, extent=extent, interpolation="nearest")
