"""What the deployed flows do with the options that they are given: the bodies of the flows of both stages.

Each is called with the name of its step. What is heavy is imported when a step runs, and not to deploy it.
"""

from collections.abc import Mapping
from typing import Any

Options = Mapping[str, Any]


def build_step(step: str, options: Options) -> Any:
    """A step of `pipeline.featurize_flow`, on a store that nobody else builds meanwhile."""
    from pipeline import featurize_flow
    from pipeline.builds import build_of, slots_of, workers_of
    from store_schema.layout import read_attributes
    from store_schema.locks import hold_store

    build = build_of(options)
    more: dict[str, Any] = {}
    if "slots" in options:
        more["slots"] = slots_of(options["slots"])
    if "workers" in options:
        more["workers"] = workers_of(options)
    if step == "repair":
        read_attributes(build.store)  # or a mistyped name would become a folder
    with hold_store(build.store):
        return getattr(featurize_flow, f"{step}_flow").fn(build, **more)


def run_step(step: str, options: Options) -> Any:
    """`fit`, or `train` with all that follows it."""
    from pipeline import train_flow
    from pipeline.steps.requests import FitRequest

    return getattr(train_flow, f"{step}_flow").fn(FitRequest.of(options))


def evaluate(_step: str, options: Options) -> Any:
    """One run, or several side by side."""
    from pipeline.steps.requests import EvaluateRequest
    from pipeline.train_flow import evaluate_flow

    rest = dict(options)
    runs = (rest.pop("run"), *(rest.pop("against") or ()))
    return evaluate_flow.fn(EvaluateRequest(runs=runs, **rest))


def report(_step: str, options: Options) -> Any:
    """The pictures of a run."""
    from pipeline.steps.requests import ReportRequest
    from pipeline.train_flow import report_flow

    against = tuple(options["against"] or ())
    return report_flow.fn(ReportRequest(**{**options, "against": against}))
