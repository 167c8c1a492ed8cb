"""report.html: everything about a run on one page that needs no other file and no network."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Final

import jinja2
import numpy as np
from matplotlib.figure import FigureBase

from pipeline.report import images
from pipeline.report.curves import MAX_COLUMNS, draw_held_out, draw_losses
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import Strip, Window, difference_colours
from pipeline.report.theme import DARK, LIGHT, Theme
from pipeline.report.tiles import StripRow
from pipeline.store_facts import store_facts
from train.evaluation import COPY_LAST_FRAME, SHUFFLED_ACTION
from train.predictor import PredictorConfig

_FIGURE_INCHES: Final = (4.9, 3.9)
_TEMPLATE: Final = "page.html"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure twice, as data: addresses."""

    light: str
    dark: str

    @classmethod
    def of(cls, draw: Callable[[FigureBase, Theme], None]) -> "Chart":
        """What `draw` puts on an empty figure, in both themes."""
        return cls(light=_drawn(draw, LIGHT), dark=_drawn(draw, DARK))


def _drawn(draw: Callable[[FigureBase, Theme], None], theme: Theme) -> str:
    figure = theme.figure(*_FIGURE_INCHES)
    draw(figure, theme)
    return images.svg(figure)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One small picture of a strip and the number under it; '' where there is neither."""

    picture: str = ""
    number: str = ""


def render_page(run: RunRecord, table: HorizonTable, strip: Strip) -> str:
    """The page as HTML; whatever a source wrote into names and texts is shown as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["value"] = shown
    template = environment.from_string(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        run=run,
        table=table,
        strip=strip,
        copied=_row(table, COPY_LAST_FRAME),
        shuffled=_row(table, SHUFFLED_ACTION),
        charts=_charts(run, table),
        windows=[(window, _named_cells(strip, window)) for window in strip.windows],
        error_scale=images.png(difference_colours(np.linspace(0.0, 1.0, 256))[np.newaxis]),
        facts=_facts(run),
        max_columns=MAX_COLUMNS,
    )


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


def _row(table: HorizonTable, name: str) -> Any:
    return next(row for row in table.rows if row.name == name)


def _charts(run: RunRecord, table: HorizonTable) -> dict[str, Chart]:
    schedule = run.recipe.schedule
    charts = {
        "losses": Chart.of(lambda figure, theme: draw_losses(figure, run.curves, schedule, theme)),
        "horizons": Chart.of(lambda figure, theme: draw_horizons(figure, table, theme)),
    }
    if run.validations:
        charts["held_out"] = Chart.of(
            lambda figure, theme: draw_held_out(figure, run.validations, schedule, theme)
        )
    return charts


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
