"""`write_report`: a run and its store in, report.html and its pictures out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.report.horizons import HorizonTable
from pipeline.report.images import png_bytes
from pipeline.report.page import render_page
from pipeline.report.picture import draw_picture
from pipeline.report.read_run import read_run
from pipeline.report.strip import predict_strip
from store_schema.atomic import write_atomically

HTML_NAME: Final = "report.html"
PICTURE_NAME: Final = "report.png"


@dataclass(frozen=True)
class ReportFiles:
    """What `write_report` wrote. pictures: PNG files by name, 'report.png' first."""

    html: Path
    pictures: Mapping[str, Path]

    @property
    def picture(self) -> Path:
        """The sheet of losses, errors by horizon and windows."""
        return self.pictures[PICTURE_NAME]


def write_report(run_path: Path, store_path: Path, *, device: str | None = None) -> ReportFiles:
    """Draw the run's last checkpoint into its folder; measure it first where evaluation.json is not of it.

    device: 'cpu', 'cuda', or None to choose; a few held-out windows are predicted on it. Raises
    RunNotFoundError, CheckpointError, RunMismatchError where the store is not the one trained on,
    RecipeError, BrokenMetricsError, NothingMeasuredError, HeldOutError, StoreError and DeviceError.
    """
    run = read_run(run_path, store_path, device=device)
    table = HorizonTable.of(run.evaluation)
    strip = predict_strip(run.checkpoint, run.store, device=device)
    pictures = {PICTURE_NAME: png_bytes(draw_picture(run, table, strip))}
    written = ReportFiles(html=run_path / HTML_NAME, pictures={name: run_path / name for name in pictures})
    for name, content in pictures.items():
        write_atomically(written.pictures[name], content)
    write_atomically(written.html, render_page(run, table, strip).encode())
    return written
