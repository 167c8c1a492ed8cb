"""Stage two as Prefect flows: each step a flow of its own, and one that calls them in order.

What is left to do is read from the run's folder: call any of these flows again, and it goes on from the last
checkpoint, or finds everything there.
"""

from pathlib import Path
from typing import Any

import pipeline.prefect_server  # noqa: F401 - sets what prefect reads at its import

# isort: split
from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled

from pipeline.artifact_tables import assessment_rows, horizon_rows
from pipeline.artifacts import show_markdown, show_picture, show_table
from pipeline.errors import RunStoppedError
from pipeline.live_training import live_training
from pipeline.report.write import ReportFiles
from pipeline.steps.evaluate import evaluate
from pipeline.steps.fit import fit
from pipeline.steps.report import pictures, report
from pipeline.steps.requests import EvaluateRequest, FitRequest, ReportRequest
from train.run_folder import RunFolder
from train.trainer import TrainResult


@flow(name="fit", flow_run_name="fit {request.run.name}")
def fit_flow(request: FitRequest) -> TrainResult | State[Any]:
    """Train to the last step, or go on with a run; the page shows how far it is.

    Stopped by a signal, the run is saved and the flow run cancelled.
    """
    with live_training(RunFolder(request.run)) as on_progress:
        result = fit(request, on_progress)
    get_run_logger().info(result.outcome)
    if result.evaluation is None:
        return Cancelled(message=result.outcome, data=RunStoppedError(result))
    _show_horizons({str(request.run): result.evaluation})
    return result


def _evaluate_name() -> str:
    return f"evaluate {' '.join(Path(run).name for run in flow_run.parameters['request'].runs)}"


@flow(name="evaluate", flow_run_name=_evaluate_name)
def evaluate_flow(request: EvaluateRequest) -> dict[str, dict[str, Any]]:
    """Measure runs in every way on the held-out episodes, side by side; writes their evaluation.json."""
    logger = get_run_logger()
    measured = evaluate(request, on_run=lambda run: logger.info("Evaluating %s", run))
    _show_horizons(measured)
    said = "On held-out episodes: mean [95 % interval over trajectories]"
    show_table("assessment", assessment_rows(measured), said)
    return measured


@flow(name="report", flow_run_name="report {request.run.name}")
def report_flow(request: ReportRequest) -> ReportFiles:
    """Draw a run: report.html and its pictures, in its folder and on the page of the flow run."""
    files = report(request)
    for path in pictures(files).values():
        show_picture(path, f"{path.name} of {request.run}")
    folder = files.html.parent.absolute()
    show_markdown("report", f"`{folder / files.html.name}`", f"The report of {request.run}, for a browser")
    get_run_logger().info("Drawn: %s", files.html.absolute())
    return files


@flow(name="train", flow_run_name="train {request.run.name}")
def train_flow(request: FitRequest) -> ReportFiles | State[Any]:
    """Fit, evaluate and report; what an earlier call has finished is not done again, but for the drawing."""
    fitted: State[Any] = fit_flow(request, return_state=True)
    if fitted.is_cancelled():
        return fitted
    result: TrainResult = fitted.result()
    assert result.evaluation is not None, "a run that is not cancelled is evaluated"
    get_run_logger().info(result.outcome)
    if "assessment" in result.evaluation:
        get_run_logger().info("Measured in every way already; the flow evaluate alone measures again")
    else:
        evaluate_flow(EvaluateRequest(runs=(request.run,), store=request.store, device=request.device))
    return report_flow(ReportRequest(run=request.run, store=request.store, device=request.device))


def _show_horizons(measured: dict[str, dict[str, Any]]) -> None:
    for run, evaluation in measured.items():
        on = evaluation["measured_on"]
        said = (
            f"{run}: L1 on {on['num_starts']} starts of {on['num_trajectories']} held-out trajectories, and "
            "the predictor's as a ratio to each baseline"
        )
        show_table("l1-by-horizon", horizon_rows(evaluation), said)
