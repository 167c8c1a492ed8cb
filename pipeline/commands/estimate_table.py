"""An estimate as people and as programs read it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.commands.output import emit
from pipeline.commands.quantities import shown_number, shown_quantity

if TYPE_CHECKING:
    from featurize.estimate import Figure
    from featurize.stages import Prediction

ROW_FIELDS: Final = ("what", "value", "unit", "formula")


def print_estimate(
    groups: "list[list[Figure]]", prediction: "Prediction | None", quantisation: str, *, as_json: bool
) -> None:
    """Print the figures on stdout: a table and what follows from it, or one JSON object.

    JSON has every figure by its name, in the unit that the name ends in, and as `rows` with their formulas.
    """
    figures = [figure for group in groups for figure in group]
    values = {figure.name: figure.value for figure in figures}
    if as_json:
        facts: dict[str, Any] = {**values}
        if prediction is not None:
            facts |= {"bottleneck": prediction.bottleneck, "measured_on": prediction.measured_on}
        facts["rows"] = [{field: getattr(figure, field) for field in ROW_FIELDS} for figure in figures]
        emit(facts, title="estimate", as_json=True)
        return
    console = Console()
    console.print(_table(groups))
    for line in _conclusions(values, prediction, values[f"store_{quantisation}_bytes"]):
        console.print(line, highlight=False)


def _table(groups: "list[list[Figure]]") -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("formula")
    for group in groups:
        for figure in group:
            table.add_row(figure.what, *shown_quantity(figure.value, figure.unit), figure.formula)
        table.add_section()
    return table


def _conclusions(
    values: Mapping[str, float], prediction: "Prediction | None", store_bytes: float
) -> list[str]:
    lines = [
        f"Encoding once has paid after {shown_number(values['break_even_steps'])} training steps; "
        f"encoding online would encode {shown_number(values['encodings_ratio'])} times as many frames in all."
    ]
    if "free_bytes" in values:
        fits = "fits" if store_bytes <= values["free_bytes"] else "does NOT fit"
        lines.append(f"The store {fits} on the disk of --store.")
    if prediction is not None:
        lines += [_bottleneck(prediction), _reading(values)]
    return lines


def _bottleneck(prediction: "Prediction") -> str:
    hours = prediction.hours_by_stage
    share = hours[prediction.bottleneck] / sum(hours.values())
    return (
        f"Bottleneck here: {prediction.bottleneck}, {share:.0%} of the time of all stages together. "
        f"index and decode were measured on: {prediction.measured_on}."
    )


def _reading(values: Mapping[str, float]) -> str:
    ratio = values["disk_read_bytes_per_second"] / values["training_read_bytes_per_second"]
    verdict = "fast enough" if ratio >= 1 else "NOT fast enough"
    return f"Reading: this disk gives {ratio:.2g} times what training on the GPUs named needs; {verdict}."
