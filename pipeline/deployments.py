"""Every step as a flow that the run button of the Prefect UI can start.

Its parameters are options of a command, by the same names.
"""

from collections.abc import Callable, Collection
from inspect import Signature
from pathlib import Path
from typing import Any, Final

import pipeline.prefect_server  # noqa: F401 - sets what prefect reads at its import

# isort: split
from prefect import Flow
from prefect.runtime import flow_run

from pipeline.command_parameters import docstring_of, option_names, parameters_of
from pipeline.commands.evaluating import evaluate as evaluate_command
from pipeline.commands.featurizing import featurize as featurize_command
from pipeline.commands.training import report as report_command
from pipeline.commands.training import train as train_command
from pipeline.deployed_steps import Options, build_step, run_step
from pipeline.deployed_steps import evaluate as evaluate_step
from pipeline.deployed_steps import report as report_step
from pipeline.sentences import telling_what_is_wrong

_PLACES: Final = ("source", "store")
_READING: Final = ("read_timeout_seconds",)
_RECIPE: Final = (
    "cameras", "clock", "crop", "num_views", "seed", "encoder", "checkpoint_key", "quantisation",
    "validation_share", "encode_batch_frames",
)  # fmt: skip
_INDEXING: Final = (*_PLACES, *_RECIPE, *_READING, "episode_list", "max_rejects")
_ENCODER: Final = ("weights", "attention", "device")
_WORKERS: Final = ("workers", "dask_address")
_ONLINE: Final = ("online", "source", "encoder", "weights")


def _deployed(
    name: str,
    command: Callable[..., None],
    names: Collection[str],
    body: Callable[[str, Options], Any],
    description: str,
) -> Flow[..., Any]:
    """The flow that does step `name` with those options of `command` that are among `names`."""

    def step(**options: Any) -> Any:
        with telling_what_is_wrong():
            return body(name, options)

    step.__name__ = step.__qualname__ = name
    step.__doc__ = docstring_of(command, names, description)
    step.__signature__ = Signature(parameters_of(command, names))  # type: ignore[attr-defined]
    return Flow(step, name=name, description=description, flow_run_name=_run_name)


def _run_name() -> str:
    """The step, and the store or the run that it is about."""
    about = flow_run.parameters.get("run") or flow_run.parameters["store"]
    return f"{flow_run.flow_name} {Path(about).name}"


def _of_build(name: str, names: Collection[str], description: str) -> Flow[..., Any]:
    return _deployed(name, featurize_command, names, build_step, description)


featurize: Final = _of_build(
    "featurize",
    (*_INDEXING, *_ENCODER, *_WORKERS, "statistics_from"),
    "Encode every episode once into a feature store: all steps in order. Does only what is missing.",
)
index: Final = _of_build(
    "index", _INDEXING, "Look at every episode; list the usable ones, and the rejected ones with the reason."
)
plan: Final = _of_build(
    "plan", (*_INDEXING, *_ENCODER), "Draw trajectories, crops, phases, slots and splits; create the store."
)
calibrate: Final = _of_build(
    "calibrate",
    (*_PLACES, *_READING, *_ENCODER, "statistics_from"),
    "Fix the channel statistics that int8 latents are standardised by.",
)
encode: Final = _of_build(
    "encode", (*_PLACES, "slots", *_READING, *_ENCODER, *_WORKERS), "Encode the slots that are missing."
)
finalise: Final = _of_build(
    "finalise", _PLACES, "Compute the statistics of the training split and seal the store."
)
repair: Final = _of_build(
    "repair",
    (*_PLACES, *_READING, *_ENCODER),
    "Encode again the slots that `permafrost verify` finds damaged, and no others.",
)

fit: Final = _deployed(
    "fit",
    train_command,
    option_names(train_command),
    run_step,
    "Train a predictor, or go on with a run from its last checkpoint.",
)
evaluate: Final = _deployed(
    "evaluate",
    evaluate_command,
    option_names(evaluate_command),
    evaluate_step,
    "Measure a run in every way on held-out episodes, or several runs side by side.",
)
report: Final = _deployed(
    "report",
    report_command,
    option_names(report_command),
    report_step,
    "Draw a run: report.html and its pictures.",
)
train: Final = _deployed(
    "train",
    train_command,
    [name for name in option_names(train_command) if name not in _ONLINE],
    run_step,
    "Fit, evaluate and report. Does only what is missing.",
)

DEPLOYED: Final = (featurize, index, plan, calibrate, encode, finalise, repair, train, fit, evaluate, report)
"""What `permafrost serve` offers; the first and the eighth do all that the ones after them do."""
