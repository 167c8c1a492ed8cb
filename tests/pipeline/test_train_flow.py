"""The train flow: the run that it trains, what its pages show, and that it does only what is missing."""

import base64
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from pipeline import train_flow as flows
from pipeline.steps.fit import fit
from pipeline.steps.requests import EvaluateRequest, FitRequest
from train.checkpoint import Checkpoint
from train.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("prefect_api")

FEW = {"preset": "demo", "steps": 6, "validate_every": 3, "batch_clips": 4, "clip_frames": 4, "device": "cpu"}
NAME = "shown"


@dataclass(frozen=True)
class Trained:
    """A run whose first evaluation failed, and which was started again.

    times: of its checkpoint's last writing, after each call. pages: artifacts by the flow's name and by key.
    """

    request: FitRequest
    states: list[Any]
    times: list[int]
    pages: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trained(make_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("train-flow")
    few = [(16, "train"), (16, "train"), (11, "validation"), (11, "validation")]
    store = make_store(folder / "store.zarr", trajectories=few)
    request = FitRequest.of({"store": store, "run": folder / NAME, **FEW})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flows, "EvaluateRequest", partial(EvaluateRequest, starts=2, samples=10, rounds=1))
        with pytest.MonkeyPatch.context() as failing:
            failing.setattr(flows, "evaluate", run_out_of_memory)
            calls = [call(request)]
        calls.append(call(request))
    states, times = zip(*calls, strict=True)
    return Trained(request, states, times, pages_of(NAME))


def run_out_of_memory(*_, **__):
    raise MemoryError("no memory left")


def call(request):
    state = flows.train_flow(request, return_state=True)
    return state, RunFolder(request.run).checkpoint.stat().st_mtime_ns


def pages_of(run_name):
    pages = {}
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs():
            if run.name.endswith(f" {run_name}"):
                pages.setdefault(run.name.removesuffix(f" {run_name}"), {}).update(artifacts_of(client, run))
    return pages


def artifacts_of(client, run):
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    artifacts = client.read_artifacts(artifact_filter=of_run)
    # Prefect keeps the error of a failed run as one without a key.
    return {artifact.key: artifact for artifact in artifacts if artifact.key is not None}


def rows_of(artifact):
    return json.loads(artifact.data)


def test_a_step_that_fails_fails_the_flow_by_its_own_error(trained):
    assert trained.states[0].is_failed()
    assert trained.states[0].message.endswith("MemoryError: no memory left")


def test_started_again_it_does_what_is_missing_and_does_not_train(trained):
    assert trained.states[1].is_completed()
    assert trained.times[0] == trained.times[1]
    assert "assessment" in json.loads(RunFolder(trained.request.run).evaluation.read_text())


def test_started_a_third_time_it_does_not_measure_either(trained, monkeypatch):
    monkeypatch.setattr(flows, "evaluate", run_out_of_memory)
    assert flows.train_flow(trained.request).html == trained.request.run / "report.html"


def test_each_step_is_a_flow_of_its_own_that_shows_what_came_of_it(trained):
    assert {name: set(page) for name, page in trained.pages.items() if name != "train"} == {
        "fit": {"fit-progress", "validations", "l1-by-horizon"},
        "evaluate": {"l1-by-horizon", "assessment"},
        "report": {"picture-report", "picture-energy", "picture-plan", "report"},
    }


def test_the_page_of_the_run_that_was_started_shows_all_of_it(trained):
    steps = (page for name, page in trained.pages.items() if name != "train")
    assert set(trained.pages["train"]) == set().union(*steps)


def test_the_progress_ends_at_the_last_update_with_its_losses(trained):
    progress = trained.pages["train"]["fit-progress"]
    assert float(progress.data) == 100.0
    assert progress.description.startswith("Update 6 of 6 (constant): loss 0.")
    assert "teacher_forcing_loss 0." in progress.description
    assert "rollout_loss 0." in progress.description


def test_the_tables_say_what_the_files_of_the_run_say(trained):
    evaluation = json.loads(RunFolder(trained.request.run).evaluation.read_text())
    page = trained.pages["train"]
    assert [row["1 ahead"].split(" ")[0] for row in rows_of(page["l1-by-horizon"])] == [
        f"{errors[0]:.4f}" for errors in (evaluation["l1"], *evaluation["baselines"].values())
    ]
    validations = rows_of(page["validations"])
    assert [row["after update"] for row in validations] == ["3", "6"]
    assert validations[-1]["8 ahead"].startswith(f"{evaluation['l1'][3]:.4f} (")
    run = str(trained.request.run)
    (rank,) = (row[run] for row in rows_of(page["assessment"]) if row["measure"].startswith("lower than"))
    assert rank.startswith(f"{evaluation['assessment']['energy']['rank']['mean']:.3g} [")


def test_the_picture_is_the_file_itself(trained):
    kind, _, encoded = trained.pages["train"]["picture-report"].data.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(encoded) == (trained.request.run / "report.png").read_bytes()


def test_a_flow_trains_as_the_library_does(trained, tmp_path):
    plain = trained.request.model_copy(update={"run": tmp_path / "plain"})
    fit(plain)
    ours, theirs = (Checkpoint.load(RunFolder(r.run).checkpoint).model for r in (trained.request, plain))
    assert all(ours[name].equal(theirs[name]) for name in theirs)
