"""`permafrost serve`: every step can be started by what a page can ask for, and refuses what cannot be."""

import inspect
import re
import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from featurize.encoder.errors import UnknownEncoderError
from pipeline import serving
from pipeline.command_parameters import option_names
from pipeline.commands.evaluating import evaluate
from pipeline.commands.featurizing import featurize
from pipeline.commands.training import report, train
from pipeline.deployments import DEPLOYED
from pipeline.errors import OptionError
from train.presets import UnknownPresetError
from train.recipe import RecipeError
from train.run_folder import RunNotFoundError

OUR_ERRORS = (OptionError, RecipeError, RunNotFoundError, UnknownEncoderError, UnknownPresetError)
NOBODY = "http://127.0.0.1:1/api"
STEPS = ["featurize", "index", "plan", "calibrate", "encode", "finalise", "repair",
         "train", "fit", "evaluate", "report"]  # fmt: skip


@pytest.fixture(scope="module")
def schemas():
    """What the page knows of each step's parameters."""
    return {d.name: d._parameter_openapi_schema.model_dump() for d in serving.deployments()}


def flow_named(name):
    (flow,) = (flow for flow in DEPLOYED if flow.name == name)
    return flow


def test_every_step_is_offered(schemas):
    assert list(schemas) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_every_parameter_is_plain_json_and_says_what_it_is(schemas, step):
    for name, parameter in schemas[step]["properties"].items():
        assert parameter["type"] in {"string", "integer", "number", "boolean", "array"}, name
        assert parameter["description"], name
        # A null would be sent for a field that is left empty, and refused.
        assert parameter.get("default", "") is not None, name


@pytest.mark.parametrize(
    ("step", "required"),
    [
        ("encode", ["source", "store"]),
        ("fit", ["store", "run"]),
        ("train", ["store", "run"]),
        ("evaluate", ["run"]),
    ],
)
def test_only_places_have_to_be_given(schemas, step, required):
    assert schemas[step]["required"] == required


@pytest.mark.parametrize(
    ("command", "steps", "not_a_step"),
    [
        (featurize, STEPS[:7], {"step", "join", "repair"}),
        (train, ["fit"], set()),
        (evaluate, ["evaluate"], set()),
        (report, ["report"], set()),
    ],
)
def test_no_option_of_a_command_is_missing(schemas, command, steps, not_a_step):
    offered = set().union(*(schemas[step]["properties"] for step in steps))
    assert offered == set(option_names(command)) - not_a_step


def test_choices_and_bounds_are_those_of_the_command(schemas):
    assert schemas["index"]["properties"]["clock"]["enum"] == ["physical", "mp4_nominal"]
    assert schemas["evaluate"]["properties"]["samples"]["minimum"] == 10
    assert schemas["fit"]["properties"]["preset"]["default"] == "medium"


@pytest.mark.parametrize(
    ("step", "parameters", "message"),
    [
        (
            "index",
            {"cameras": "left,top"},
            "cameras.1: Input should be 'left', 'right' or 'wrist', got",
        ),
        ("encode", {"slots": "3-7"}, "takes numbers with commas between, such as 3,7; got '3-7'."),
        ("encode", {"workers": 0}, "num_workers: Input should be greater than or equal to 1, got 0."),
        ("plan", {"encoder": "vit-tiny"}, "There is no encoder 'vit-tiny'. Did you mean 'vit-tiny-random'?"),
        ("fit", {"batch_clips": 0}, "batch_clips is 0; it must be at least 1."),
        ("train", {"preset": "large"}, "There is no predictor preset 'large'"),
        ("fit", {"encoder": "vjepa2-vitg"}, "--encoder: only with --online"),
        ("report", {}, "There is no checkpoint in"),
    ],
)
def test_what_cannot_be_is_named_as_on_the_command_line(tmp_path, step, parameters, message):
    places = {"source": tmp_path / "source", "store": tmp_path / "store.zarr", "run": tmp_path / "run"}
    needed = {name: places[name] for name in flow_named(step).parameters.required}
    with pytest.raises(OUR_ERRORS, match=re.escape(message)):
        flow_named(step).fn(**defaults_of(step) | needed | parameters)


def defaults_of(step):
    parameters = inspect.signature(flow_named(step).fn).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def test_a_configured_server_that_does_not_answer_is_named(permafrost):
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        code, out, err = permafrost("serve")
    assert (code, out) == (1, "")
    assert err.startswith(f"permafrost: No Prefect server answers at {NOBODY}, which PREFECT_API_URL")
    assert err.endswith("unset PREFECT_API_URL: `permafrost serve` then starts one itself.\n")


def test_a_port_that_something_else_has_is_named(permafrost, monkeypatch):
    monkeypatch.setattr(serving, "find_server", lambda: None)
    with socket.socket() as taken:
        taken.bind((serving.UI_HOST, 0))
        taken.listen()
        monkeypatch.setattr(serving, "UI_PORT", taken.getsockname()[1])
        code, _, err = permafrost("serve")
    assert code == 1
    assert re.fullmatch(r"permafrost: Port \d+ is taken by a program that is no Prefect server\. .*\n", err)
