"""`write_report`: a run and its store in, report.html and its pictures out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.report.comparison import Comparison
from pipeline.report.horizons import HorizonTable
from pipeline.report.images import png_bytes
from pipeline.report.landscape import draw_landscapes
from pipeline.report.look import Look, look_at
from pipeline.report.page import render_page
from pipeline.report.picture import draw_picture
from pipeline.report.plan_picture import draw_plans
from pipeline.report.read_run import RunRecord, read_run
from store_schema.atomic import write_atomically

HTML_NAME: Final = "report.html"
PICTURE_NAME: Final = "report.png"
ENERGY_NAME: Final = "energy.png"
PLAN_NAME: Final = "plan.png"


@dataclass(frozen=True)
class ReportFiles:
    """What `write_report` wrote. pictures: PNG files by name, 'report.png' first."""

    html: Path
    pictures: Mapping[str, Path]

    @property
    def picture(self) -> Path:
        """The sheet of losses, errors by horizon and windows."""
        return self.pictures[PICTURE_NAME]


def write_report(
    run_path: Path,
    store_path: Path,
    *,
    against: Sequence[tuple[Path, Path]] = (),
    device: str | None = None,
) -> ReportFiles:
    """Draw the run's last checkpoint into its folder; measure it first where evaluation.json is not of it.

    against: other runs, each with its store, to stand beside it. device: 'cpu', 'cuda', or None to choose;
    what is predicted and planned for the pictures runs on it. Raises RunNotFoundError, CheckpointError,
    RunMismatchError where a store is not the one trained on, RecipeError, BrokenMetricsError,
    NothingMeasuredError, HeldOutError, StoreError and DeviceError.
    """
    places = ((run_path, store_path), *against)
    runs = tuple(read_run(run, store, device=device) for run, store in places)
    table, look = HorizonTable.of(runs[0].evaluation), look_at(runs[0], device=device)
    pictures = draw_pictures(runs[0], table, look)
    written = ReportFiles(html=run_path / HTML_NAME, pictures={name: run_path / name for name in pictures})
    for name, content in pictures.items():
        write_atomically(written.pictures[name], content)
    write_atomically(written.html, render_page(Comparison(runs=runs), table, look).encode())
    return written


def draw_pictures(run: RunRecord, table: HorizonTable, look: Look) -> dict[str, bytes]:
    """PNG files by name: the sheet first, then landscapes and plans where there are any."""
    pictures = {PICTURE_NAME: png_bytes(draw_picture(run, table, look.strip))}
    if look.landscapes:
        pictures[ENERGY_NAME] = png_bytes(draw_landscapes(look.landscapes))
    if look.plans:
        pictures[PLAN_NAME] = png_bytes(draw_plans(look.plans))
    return pictures
