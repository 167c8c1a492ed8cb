"""report.html: everything about a run on one page that needs no other file and no network."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any, Final

import jinja2
import numpy as np

from pipeline.report import images
from pipeline.report.cells import neighbour_cells, pair_cells, window_cells
from pipeline.report.charts import charts_of, landscape_chart, plan_chart
from pipeline.report.comparison import Comparison
from pipeline.report.curves import MAX_COLUMNS
from pipeline.report.film import PANES, Film
from pipeline.report.horizons import HorizonTable
from pipeline.report.look import NUM_STARTS, PLAN_STEPS, SEARCH, Look
from pipeline.report.read_run import RunRecord
from pipeline.report.strip import difference_colours
from pipeline.store_facts import store_facts
from train.evaluation import COPY_LAST_FRAME, SHUFFLED_ACTION
from train.predictor import PredictorConfig

_TEMPLATE: Final = "page.html"


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
        charts=charts_of(comparison, table),
        landscapes=[(found, pair_cells(found.pair), landscape_chart(found)) for found in look.landscapes],
        plans=[(found, pair_cells(found.pair), plan_chart(found)) for found in look.plans],
        searched={"starts": NUM_STARTS, "steps": PLAN_STEPS, "cem": SEARCH},
        films=[(window, Film.of(strip, window)) for window in strip.windows],
        panes=PANES,
        neighbours=[(found, neighbour_cells(found)) for found in look.neighbours.windows],
        windows=[(window, window_cells(strip, window)) for window in strip.windows],
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


def _row(table: HorizonTable, name: str) -> Any:
    return next(row for row in table.rows if row.name == name)


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
