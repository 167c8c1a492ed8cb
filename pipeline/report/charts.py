"""The figures of the page, each in light and in dark colours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import FigureBase

from pipeline.report import images
from pipeline.report.comparison import Comparison, Ratios, draw_ratios
from pipeline.report.curves import draw_held_out, draw_losses
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.landscape import Landscape, draw_landscape
from pipeline.report.plan_picture import DrawnPlan, draw_plan
from pipeline.report.theme import DARK, LIGHT, Theme
from train.evaluation import COPY_LAST_FRAME

_FIGURE_INCHES: Final = (4.9, 3.9)
_LANDSCAPE_INCHES: Final = (4.6, 3.2)
_PLAN_INCHES: Final = (4.6, 2.7)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure twice, as data: addresses."""

    light: str
    dark: str

    @classmethod
    def of(
        cls, draw: Callable[[FigureBase, Theme], None], inches: tuple[float, float] = _FIGURE_INCHES
    ) -> "Chart":
        """What `draw` puts on an empty figure, in both themes."""
        return cls(light=_drawn(draw, LIGHT, inches), dark=_drawn(draw, DARK, inches))


def _drawn(draw: Callable[[FigureBase, Theme], None], theme: Theme, inches: tuple[float, float]) -> str:
    figure = theme.figure(*inches)
    draw(figure, theme)
    return images.svg(figure)


def charts_of(comparison: Comparison, table: HorizonTable) -> dict[str, Chart]:
    """By name the figures about the whole run, of those that there is something to draw in."""
    run = comparison.runs[0]
    schedule = run.recipe.schedule
    charts = {
        "losses": Chart.of(lambda figure, theme: draw_losses(figure, run.curves, schedule, theme)),
        "horizons": Chart.of(lambda figure, theme: draw_horizons(figure, table, theme)),
    }
    if run.validations:
        charts["held_out"] = Chart.of(
            lambda figure, theme: draw_held_out(figure, run.validations, schedule, theme)
        )
    measured = comparison.assessments[0]
    if measured is not None:
        charts["ratios"] = _ratio_chart(measured["prediction"]["ratio_to"], table, "L1 / L1 of each")
    if len(comparison.runs) > 1:
        label = f"L1 / L1 of {COPY_LAST_FRAME}"
        charts["runs"] = _ratio_chart(comparison.ratios_to_copying(), table, label)
    return charts


def _ratio_chart(ratios: Ratios, table: HorizonTable, label: str) -> Chart:
    return Chart.of(lambda figure, theme: draw_ratios(figure, ratios, table.horizons, theme, label=label))


def landscape_chart(landscape: Landscape) -> Chart:
    """Of one step."""
    return Chart.of(lambda figure, theme: draw_landscape(figure, landscape, theme), _LANDSCAPE_INCHES)


def plan_chart(plan: DrawnPlan) -> Chart:
    """Of one plan."""
    return Chart.of(lambda figure, theme: draw_plan(figure, plan, theme), _PLAN_INCHES)
