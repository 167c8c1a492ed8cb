"""Fuzz over values that people and programs type: recipe and result files, command lines, Prefect parameters.

    python tests/sweeps/fuzz_values.py --count 600 --seed 0
    python tests/sweeps/fuzz_values.py --seed 0 --only 123       one case of the same sweep again

A file is taken as it is or refused by a named error. A command line ends with exit code 0, 1 or 2 and says
why. Parameters of a flow are refused by a validation error or are what the models allow. Nothing is a
traceback. Command lines name sources and stores that are not there, so that none has much to do.
"""

import argparse
import contextlib
import io
import json
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import click
import typer
from prefect.exceptions import ParameterTypeError, SignatureMismatchError

from featurize.errors import FeaturizeError
from featurize.recipe import Build, FeaturizeRecipe, resolve_recipe, write_recipe
from pipeline import cli, featurize_flow
from store_schema.errors import StoreError
from store_schema.layout import read_attributes, write_attributes
from tests.conftest import write_store
from tests.sweeps.damaged_bytes import BYTE_DAMAGES
from tests.sweeps.damaged_metadata import ODD_JSON
from train.evaluation import EvaluationError, read_evaluation
from train.run_folder import RunFolder

LIMIT_SECONDS: Final = 60
ODD_TEXTS: Final = (
    *(
        "",
        " ",
        "-1",
        "0",
        "1",
        "1e999",
        "nan",
        "inf",
        "-inf",
        "9" * 400,
        "1.5",
        "true",
        "null",
        "\u2603",
        "\n",
    ),
    *(
        "\0",
        "\udcff",
        "a" * 5000,
        "../..",
        "/",
        ".",
        "/dev/null",
        "/dev/zero",
        "/proc/self/mem",
        "~",
        "%s",
        "{}",
    ),
    *(
        "[]",
        "left,left",
        "left,,",
        ",",
        "0x10",
        "1_000",
        "\u0661",
        "--",
        "-h",
        "'; rm x",
        "cuda:99",
        "meta",
        "cpu",
    ),
)
# None of these may be made to work for minutes, or to wait for something.
NEVER_GIVEN: Final = {"--calibrate", "--help", "--install-completion", "--show-completion", "--dask-address"}
# Waits for somebody's requests until it is stopped.
ENDLESS: Final = {"serve"}
NOT_LARGE: Final = {"--episodes", "--size"}
# Before the drawn options, which stand.
FIXED: Final = {
    "featurize": ("--encoder", "no-such-encoder"),
    "train": ("--device", "cpu"),
    "demo-data": ("--episodes", "1", "--size", "64x64"),
}
FLOWS: Final = ("index_flow", "plan_flow", "calibrate_flow", "encode_flow", "finalise_flow", "featurize_flow")
EVALUATION: Final = {
    "horizons": [1, 2],
    "l1": [0.1, 0.2],
    "baselines": {name: [0.2, 0.3] for name in ("copy_last_frame", "zero_action", "shuffled_action")},
    "measured_on": {"checkpoint_step": 2, "num_starts": 3, "num_trajectories": 1, "store_uuid": "u"},
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """verdict: accepted, refused or failed."""

    case: int
    kind: str
    verdict: str
    detail: str


def odd_text(rng: np.random.Generator) -> str:
    return ODD_TEXTS[rng.integers(len(ODD_TEXTS))]


def odd_json(rng: np.random.Generator) -> Any:
    """Anything that JSON can say."""
    plain = (
        None,
        True,
        -1,
        0,
        1.5,
        10**30,
        float("nan"),
        float("inf"),
        [],
        {},
        [[[]]],
        ["left"],
        {"a": None},
    )
    return odd_text(rng) if rng.random() < 0.4 else plain[rng.integers(len(plain))]


def damaged_json(path: Path, rng: np.random.Generator) -> None:
    """Another value somewhere in a JSON file, or damage to its bytes."""
    if rng.random() < 0.5:
        BYTE_DAMAGES[rng.integers(len(BYTE_DAMAGES))](path, rng)
        return
    content = json.loads(path.read_bytes())
    place = content
    while True:
        name = rng.choice(sorted(place))
        if not isinstance(place[name], dict) or rng.random() < 0.3:
            break
        place = place[name]
    place[name if rng.random() < 0.8 else "unknown"] = "@"
    odd = ODD_JSON[rng.integers(len(ODD_JSON))]
    path.write_text(json.dumps(content).replace('"@"', odd))


def recipe_file(folder: Path, rng: np.random.Generator) -> str:
    """The recipe that an earlier index left in the store's build folder."""
    build = Build(recipe=FeaturizeRecipe(), store=folder / "new.zarr", source_root=folder)
    write_recipe(build)
    damaged_json(build.folder / "recipe.json", rng)
    try:
        return f"accepted: {resolve_recipe(build.store, {})}"
    except FeaturizeError as error:
        return f"refused: {error}"


def store_recipe(folder: Path, rng: np.random.Generator) -> str:
    """The recipe among the attributes of a store, with the hash over them right."""
    store = write_store(folder / "store.zarr", trajectories=[(16, "train"), (16, "validation")])
    attributes = read_attributes(store)
    recipe = FeaturizeRecipe().model_dump(mode="json")
    recipe[rng.choice([*sorted(recipe), "unknown"])] = odd_json(rng)
    with contextlib.suppress(ValueError, UnicodeEncodeError):  # what we would not write either
        write_attributes(store, attributes | {"recipe": recipe})
    try:
        return f"accepted: {resolve_recipe(store, {})}"
    except (FeaturizeError, StoreError) as error:
        return f"refused: {error}"


def evaluation_file(folder: Path, rng: np.random.Generator) -> str:
    """The results of a run."""
    run = RunFolder(folder)
    run.evaluation.write_text(json.dumps(EVALUATION))
    damaged_json(run.evaluation, rng)
    try:
        return f"accepted: {read_evaluation(run, step=2)}"
    except EvaluationError as error:
        return f"refused: {error}"


def command_line(folder: Path, rng: np.random.Generator) -> str:
    """A verb with odd values for some of its options, and places that are not there for the rest."""
    app = typer.main.get_command(cli.app)
    assert isinstance(app, click.Group) or hasattr(app, "commands")
    verb = str(rng.choice(sorted(app.commands.keys() - ENDLESS)))
    arguments = [verb, *FIXED.get(verb, ()), *_arguments(app.commands[verb], folder, rng)]
    output, errors = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["permafrost", *arguments])
    with argv, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
    if code not in (0, 1, 2) or (code and not errors.getvalue().strip() + output.getvalue().strip()):
        raise AssertionError(f"{arguments} ended with {code}: {errors.getvalue()[-300:]}")
    return f"{'refused' if code else 'accepted'}: {arguments}: {errors.getvalue().strip()[-200:]}"


def _arguments(command: Any, folder: Path, rng: np.random.Generator) -> list[str]:
    arguments: list[str] = []
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        name = parameter.opts[0]
        if name in NEVER_GIVEN or (not parameter.required and rng.random() > 0.25):
            continue
        if is_option and parameter.is_flag:
            arguments.append(name)
            continue
        nowhere = str(folder / "nowhere")
        value = nowhere if parameter.required and rng.random() < 0.5 else odd_text(rng)
        if name in NOT_LARGE and value not in ("0", "-1", "nan", "1.5", ""):
            value = "0"
        arguments += [name, value] if is_option else [value if value else nowhere]
    return arguments


def flow_parameters(folder: Path, rng: np.random.Generator) -> str:
    """What the UI or the API of Prefect hands to a flow."""
    flow = getattr(featurize_flow, FLOWS[rng.integers(len(FLOWS))])
    parameters: dict[str, Any] = {
        "build": {"recipe": {}, "store": str(folder / "s.zarr"), "source_root": str(folder)}
    }
    if flow.name == "featurize":
        parameters["workers"] = {}
    for _ in range(int(rng.integers(1, 3))):
        _spoil(parameters, rng)
    try:
        valid = flow.validate_parameters(parameters)
    except (ParameterTypeError, SignatureMismatchError) as error:
        return f"refused: {error}"
    assert isinstance(valid["build"], Build), valid
    assert Build.model_validate(valid["build"].model_dump()) == valid["build"]
    return f"accepted: {parameters}"


def _spoil(parameters: dict[str, Any], rng: np.random.Generator) -> None:
    build = parameters["build"]
    places: list[tuple[dict[str, Any], Sequence[str]]] = [(parameters, (*parameters, "slots"))]
    if isinstance(build, dict):
        places.append((build, (*Build.model_fields, "unknown")))
        if isinstance(build.get("recipe"), dict):
            places += [(build["recipe"], (*FeaturizeRecipe.model_fields, "unknown"))] * 3
    if isinstance(parameters.get("workers"), dict):
        places.append((parameters["workers"], ("num_workers", "dask_address", "unknown")))
    place, names = places[rng.integers(len(places))]
    place[str(rng.choice(list(names)))] = odd_json(rng)


KINDS: Final = (recipe_file, store_recipe, evaluation_file, command_line, command_line, flow_parameters)


def run_case(number: int, seed: int) -> Outcome:
    """Case `number` depends on the seed and on its number alone."""
    kind = KINDS[number % len(KINDS)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-values-"))
    try:
        with contextlib.chdir(folder), _limited():
            verdict, _, detail = kind(folder, np.random.default_rng([seed, number])).partition(": ")
        if verdict == "refused" and not detail.strip():
            verdict, detail = "failed", "refused without a word"
    except Exception:  # noqa: BLE001 - whatever gets here is a finding
        verdict, detail = "failed", traceback.format_exc(limit=-6)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(case=number, kind=kind.__name__, verdict=verdict, detail=detail)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise RuntimeError(f"it took more than {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Run the sweep; exit code 1 where a case fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=600, help="number of cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone, and show its outcome")
    options = parser.parse_args()
    numbers = range(options.count) if options.only is None else [options.only]
    outcomes = [run_case(number, options.seed) for number in numbers]
    counts = Counter((outcome.kind, outcome.verdict) for outcome in outcomes)
    print(f"cases {len(outcomes)}")
    for (kind, verdict), count in sorted(counts.items()):
        print(f"{kind} {verdict} {count}")
    print(f"failures {sum(outcome.verdict == 'failed' for outcome in outcomes)}")
    for outcome in outcomes:
        if outcome.verdict == "failed" or options.only is not None:
            print(f"--seed {options.seed} --only {outcome.case}: {outcome.kind}: {outcome.detail}")
    sys.exit(any(outcome.verdict == "failed" for outcome in outcomes))


if __name__ == "__main__":
    main()
