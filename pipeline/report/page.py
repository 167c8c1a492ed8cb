"""report.html: everything about a run on one page that needs no other file and no network."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Final, TypeVar

import jinja2
import numpy as np
from matplotlib.figure import FigureBase

from pipeline.report import images
from pipeline.report.comparison import Comparison, Ratios, draw_ratios
from pipeline.report.curves import MAX_COLUMNS, draw_held_out, draw_losses
from pipeline.report.film import PANES, Film
from pipeline.report.frame_pair import FramePair
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.landscape import draw_landscape
from pipeline.report.look import NUM_STARTS, PLAN_STEPS, SEARCH, Look
from pipeline.report.neighbours import Neighbour, WindowNeighbours
from pipeline.report.plan_picture import draw_plan
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import Strip, Window, difference_colours
from pipeline.report.theme import DARK, LIGHT, Theme
from pipeline.report.tiles import StripRow
from pipeline.store_facts import store_facts
from train.evaluation import COPY_LAST_FRAME, SHUFFLED_ACTION
from train.predictor import PredictorConfig

_FIGURE_INCHES: Final = (4.9, 3.9)
_PANELS_INCHES: Final = (5.4, 3.0)
_TEMPLATE: Final = "page.html"

ThingT = TypeVar("ThingT")


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


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One small picture of a strip and what is said under it; '' where there is neither."""

    picture: str = ""
    number: str = ""


def render_page(comparison: Comparison, table: HorizonTable, look: Look) -> str:
    """The page as HTML; whatever a source wrote into names and texts is shown as text.

    table, look: of the first run of the comparison.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = shown
    run, strip = comparison.runs[0], look.strip
    return environment.get_template(_TEMPLATE).render(
        run=run,
        comparison=comparison,
        table=table,
        look=look,
        strip=strip,
        copied=_row(table, COPY_LAST_FRAME),
        shuffled=_row(table, SHUFFLED_ACTION),
        charts=_charts(comparison, table),
        landscapes=[(found, _pair(found.pair), _panels(draw_landscape, found)) for found in look.landscapes],
        plans=[(found, _pair(found.pair), _panels(draw_plan, found)) for found in look.plans],
        searched={"starts": NUM_STARTS, "steps": PLAN_STEPS, "cem": SEARCH},
        films=[(window, Film.of(strip, window)) for window in strip.windows],
        panes=PANES,
        neighbours=[(found, _neighbour_cells(found)) for found in look.neighbours.windows],
        windows=[(window, _named_cells(strip, window)) for window in strip.windows],
        error_scale=images.png(difference_colours(np.linspace(0.0, 1.0, 256))[np.newaxis]),
        facts=_facts(run),
        max_columns=MAX_COLUMNS,
    )


def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def shown(value: Any) -> str:
    """A value as people read it: 12,345; 0.00042; yes; none; several with commas."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}"
        case Mapping():
            return ", ".join(f"{name}: {shown(item)}" for name, item in value.items()) or "none"
        case list() | tuple():
            return ", ".join(map(shown, value))
        case _:
            return str(value)


def _named_cells(strip: Strip, window: Window) -> list[tuple[str, list[Cell]]]:
    return [(row.name, _cells(row, len(window.thumbnails))) for row in strip.rows(window)]


def _cells(row: StripRow, num_frames: int) -> list[Cell]:
    """A cell for every frame of the window; those before the first picture stay empty."""
    pictures = [images.png(picture) for picture in row.pictures_FHWC]
    numbers = [""] * len(pictures) if row.means_F is None else [f"{mean:.3f}" for mean in row.means_F]
    filled = [Cell(picture=p, number=n) for p, n in zip(pictures, numbers, strict=True)]
    return [Cell()] * (num_frames - len(filled)) + filled


def _neighbour_cells(found: WindowNeighbours) -> list[tuple[str, list[Cell]]]:
    return [
        (name, [Cell(picture=images.png(n.thumbnail), number=_named(n, found)) for n in row])
        for name, row in found.rows.items()
    ]


def _named(neighbour: Neighbour, found: WindowNeighbours) -> str:
    """The frame of the window's own trajectory, or TRAJECTORY:FRAME, and how far it is."""
    own = neighbour.trajectory == found.trajectory.index
    place = f"frame {neighbour.offset}" if own else f"{neighbour.trajectory}:{neighbour.offset}"
    return place if neighbour.distance is None else f"{place}, L1 {neighbour.distance:.3f}"


def _pair(pair: FramePair) -> list[tuple[str, str]]:
    """Name and picture of both frames."""
    return list(zip(pair.names, map(images.png, (pair.start, pair.goal)), strict=True))


def _panels(draw: Callable[[FigureBase, ThingT, Theme], None], thing: ThingT) -> Chart:
    return Chart.of(lambda figure, theme: draw(figure, thing, theme), _PANELS_INCHES)


def _row(table: HorizonTable, name: str) -> Any:
    return next(row for row in table.rows if row.name == name)


def _charts(comparison: Comparison, table: HorizonTable) -> dict[str, Chart]:
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


def _facts(run: RunRecord) -> dict[str, Mapping[str, Any]]:
    attributes, trained_on = run.store.attributes, run.checkpoint.trained_on
    return {
        "Measured on": _without("store_recipe", run.evaluation["measured_on"]),
        "Store": {"uuid": attributes.uuid, **store_facts(run.store)},
        "Training recipe": run.recipe.to_json(),
        "Predictor": asdict(PredictorConfig(**run.checkpoint.predictor)),
        "Trained on": _without("attribution", trained_on),
        "Store recipe": {**attributes.recipe, "frame_rate_hz": attributes.fingerprint.frame_rate_hz},
        "Code": {"trained_by": run.checkpoint.code_version, "store_made_with": attributes.library_versions},
    }


def _without(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != name}
