"""`report`: the pictures of a run."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.report.write import ReportFiles, write_report
from pipeline.run_differences import ensure_comparable
from pipeline.steps.requests import ReportRequest
from train.run_folder import RunFolder


def report(request: ReportRequest) -> ReportFiles:
    """Draw a run.

    Raises RunNotFoundError, OptionError where a run is named twice, and what
    `pipeline.report.write.write_report` does.
    """
    ensure_comparable((request.run, *request.against))
    store = request.store or RunFolder(request.run).remembered_store()
    beside = [(run, request.store or RunFolder(run).remembered_store()) for run in request.against]
    return write_report(request.run, store, against=beside, device=request.device)


def pictures(files: ReportFiles) -> Mapping[str, Path]:
    """The PNG files of a report by name, the one that shows all first."""
    return files.pictures
