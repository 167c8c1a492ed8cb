"""The train flow: the same run as without Prefect, what its page shows, and that no server is worth a run."""

import base64
import json
import shutil
from functools import partial

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from pipeline import train_flow as flows
from pipeline.steps.fit import fit
from pipeline.steps.requests import EvaluateRequest, FitRequest
from train.checkpoint import Checkpoint
from train.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("prefect_api")


def request_at(run, store, **options):
    few = {
        "preset": "demo",
        "steps": 6,
        "validate_every": 3,
        "batch_clips": 4,
        "clip_frames": 4,
        "device": "cpu",
    }
    return FitRequest.of({"store": store, "run": run, **few, **options})


@pytest.fixture(scope="module")
def store(make_store, tmp_path_factory):
    few = [(16, "train"), (16, "train"), (11, "validation"), (11, "validation")]
    return make_store(tmp_path_factory.mktemp("train-flow") / "store.zarr", trajectories=few)


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """The train flow's request and state, and the artifacts of its page and of its steps' by the step's name."""
    request = request_at(tmp_path_factory.mktemp("train-flow") / "shown", store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flows, "EvaluateRequest", partial(EvaluateRequest, starts=2, samples=10, rounds=1))
        state = flows.train_flow(request, return_state=True)
    return request, state, pages_of("shown")


def pages_of(run_name):
    """Artifacts by key, of every flow run about a run; the keys are those of the flow run's page."""
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.name.endswith(f" {run_name}")]
        return {run.name.removesuffix(f" {run_name}"): artifacts_of(client, run) for run in runs}


def artifacts_of(client, run):
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    return {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=of_run)}


def test_each_step_is_a_flow_of_its_own_that_shows_what_came_of_it(trained):
    _, state, pages = trained
    assert state.is_completed()
    assert {name: set(page) for name, page in pages.items() if name != "train"} == {
        "fit": {"fit-progress", "validations", "l1-by-horizon"},
        "evaluate": {"l1-by-horizon", "assessment"},
        "report": {"picture-report", "report"},
    }


def test_the_page_of_the_run_that_was_started_shows_all_of_it(trained):
    _, _, pages = trained
    assert set(pages["train"]) == set().union(*(pages[step] for step in ("fit", "evaluate", "report")))


def test_the_progress_ends_at_the_last_update_with_its_losses(trained):
    _, _, pages = trained
    progress = pages["fit"]["fit-progress"]
    assert float(progress.data) == 100.0
    assert progress.description.startswith("Update 6 of 6 (constant): loss 0.")
    assert "teacher_forcing_loss 0." in progress.description
    assert "rollout_loss 0." in progress.description


def test_the_tables_say_what_the_files_of_the_run_say(trained):
    request, _, pages = trained
    evaluation = json.loads(RunFolder(request.run).evaluation.read_text())
    rows = json.loads(pages["evaluate"]["l1-by-horizon"].data)
    assert [row["1 ahead"].split(",")[0] for row in rows] == [
        f"{errors[0]:.4f}" for errors in (evaluation["l1"], *evaluation["baselines"].values())
    ]
    validations = json.loads(pages["fit"]["validations"].data)
    assert [row["after update"] for row in validations] == ["3", "6"]
    assert validations[-1]["1 ahead"].startswith(f"{evaluation['l1'][0]:.4f} (")
    measures = {
        row["measure"]: row[str(request.run)] for row in json.loads(pages["evaluate"]["assessment"].data)
    }
    mean = evaluation["assessment"]["energy"]["rank"]["mean"]
    (rank,) = (cell for name, cell in measures.items() if name.startswith("lower than the recorded action"))
    assert rank.startswith(f"{mean:.3g} [")


def test_the_picture_is_the_file_itself(trained):
    request, _, pages = trained
    scheme, _, encoded = pages["report"]["picture-report"].data.partition(",")
    assert scheme == "data:image/png;base64"
    assert base64.b64decode(encoded) == (request.run / "report.png").read_bytes()


def test_a_flow_trains_as_the_library_does(trained, store, tmp_path):
    request, _, _ = trained
    plain = request.model_copy(update={"run": tmp_path / "plain"})
    fit(plain)
    ours, theirs = (Checkpoint.load(RunFolder(run).checkpoint).model for run in (request.run, plain.run))
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_started_again_it_trains_and_measures_nothing(trained, monkeypatch):
    request, _, _ = trained
    files = {path: path.stat().st_mtime_ns for path in request.run.iterdir() if "report" not in path.name}
    monkeypatch.setattr(flows, "evaluate_flow", None)
    assert flows.train_flow(request).html == request.run / "report.html"
    left = {path: path.stat().st_mtime_ns for path in files if path.name not in ("lock.json", "lock")}
    assert left == {path: files[path] for path in left}


def test_a_step_that_failed_is_what_the_next_call_does(trained, tmp_path, store, monkeypatch):
    request, _, _ = trained
    folder = shutil.copytree(request.run, tmp_path / "half")
    evaluation = json.loads((folder / "evaluation.json").read_text())
    del evaluation["assessment"]
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    again = request.model_copy(update={"run": folder})
    checkpoint = (folder / "checkpoint.pt").stat().st_mtime_ns
    with monkeypatch.context() as patched:
        patched.setattr(
            flows, "evaluate", lambda *_, **__: (_ for _ in ()).throw(MemoryError("no memory left"))
        )
        with pytest.raises(MemoryError, match="no memory left"):
            flows.train_flow(again)
    monkeypatch.setattr(flows, "EvaluateRequest", partial(EvaluateRequest, starts=2, samples=10, rounds=1))
    flows.train_flow(again)
    assert "assessment" in json.loads((folder / "evaluation.json").read_text())
    assert (folder / "checkpoint.pt").stat().st_mtime_ns == checkpoint
