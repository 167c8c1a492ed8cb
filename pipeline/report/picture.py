"""report.png: the losses, the error by horizon, and a few windows, on one sheet to look at."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from pipeline.report.curves import draw_losses
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import DIFFERENCE_COLOURS, Strip, Window
from pipeline.report.theme import FONT_SIZE, LIGHT
from pipeline.report.tiles import draw_tiles

MAX_WINDOWS: Final = 2


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
    seconds = [f"{frame * strip.frame_seconds:g}" for frame in range(len(window.thumbnails))]
    draw_tiles(axes, strip.rows(window), seconds)
    axes.set_title("a held-out window, seconds ahead", fontsize=FONT_SIZE)
