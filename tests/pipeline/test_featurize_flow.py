"""The flow: the same store as without Prefect, retries, failures that name slots, and what the UI shows."""

import shutil

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from featurize.encode import encode, encode_unclaimed
from featurize.encoders import encoder_of
from featurize.errors import StepOrderError, TooManyRejectsError
from featurize.index import index
from pipeline import featurize_flow as flows
from pipeline.errors import SlotsFailedError
from pipeline.workers import Workers
from store_schema.integrity import digest
from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store, folder_of, prepare
from .conftest import Threads

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def library_digest(source, tmp_path_factory):
    """Of the store that the library builds without Prefect, in this process."""
    build = build_at(tmp_path_factory.mktemp("library") / "store.zarr", source, num_views=3)
    build_store(build)
    return digest(build.store)


@pytest.fixture
def build(source, tmp_path):
    return build_at(tmp_path / "store.zarr", source, num_views=3)


@pytest.fixture
def prepared_build(build):
    return prepare(build)


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


def runs_of(client, build):
    """Names of the flow and task runs about one store are unique by its folder's name."""
    return {run.name: run for run in client.read_flow_runs() if run.name.endswith(build.store.name)}


def test_two_worker_processes_build_the_same_store_as_one_process_without_prefect(
    source, tmp_path, library_digest, client
):
    build = build_at(tmp_path / "by-two.zarr", source, num_views=3)
    report = flows.featurize_flow(build, Workers(num_workers=2))
    assert digest(build.store) == library_digest
    assert (report.num_episodes, report.num_trajectories) == (6, 18)
    runs = runs_of(client, build)
    assert runs.keys() == {f"{step} by-two.zarr" for step in
                           ("featurize", "index", "plan", "calibrate", "encode", "finalise")}  # fmt: skip
    assert all(run.state.is_completed() for run in runs.values())
    tasks = {run.name for run in client.read_task_runs() if run.flow_run_id == runs["encode by-two.zarr"].id}
    assert tasks == {"encode slots 0-7", "encode slots 8-15", "encode slots 16-20"}
    # Done already: it looks at the store, starts no worker and encodes nothing.
    times = {path: path.stat().st_mtime_ns for path in build.store.rglob("*") if path.is_file()}
    assert flows.featurize_flow(build, Workers(dask_address="tcp://nobody:1")) == report
    assert times == {path: path.stat().st_mtime_ns for path in build.store.rglob("*") if path.is_file()}


def test_a_failing_batch_fails_the_flow_by_its_slots_and_a_rerun_does_only_these(
    prepared_build, library_digest, monkeypatch
):
    def run_out_of_memory(build, encoder, slots, *, workers):
        if 9 in slots:
            raise MemoryError("no memory left")
        return encode_unclaimed(build, encoder, slots, workers=workers)

    with monkeypatch.context() as patched:
        patched.setattr(flows, "encode_unclaimed", run_out_of_memory)
        patched.setattr(flows, "encode_batch", flows.encode_batch.with_options(retries=0))
        with pytest.raises(
            SlotsFailedError,
            match=r"8 of 21 slots failed: 8, 9, 10, 11, 12, 13, 14, 15\. Causes: .*no memory left.*\. "
            r"Run the same command again to retry only these\.",
        ):
            flows.encode_flow(prepared_build, workers=Threads())
    assert Store.open(prepared_build.store).missing_slots() == list(range(8, 16))
    assert flows.encode_flow(prepared_build, workers=Threads()) == 8
    flows.finalise_flow(prepared_build)
    assert digest(prepared_build.store) == library_digest


def test_a_batch_that_fails_once_is_retried(prepared_build, monkeypatch):
    calls = []

    def fail_once(build, encoder, slots, *, workers):
        calls.append(slots)
        if len(calls) == 1:
            raise OSError("the disk was away for a moment")
        return encode_unclaimed(build, encoder, slots, workers=workers)

    monkeypatch.setattr(flows, "encode_unclaimed", fail_once)
    monkeypatch.setattr(flows, "encode_batch", flows.encode_batch.with_options(retry_delay_seconds=0))
    assert flows.encode_flow(prepared_build, [3, 7], Threads()) == 2
    assert calls == [[3, 7], [3, 7]]
    assert sorted(Store.open(prepared_build.store).ledger) == [3, 7]


def test_batches_are_retried_twice():
    assert (flows.encode_batch.retries, flows.encode_batch.retry_delay_seconds) == (2, 5)


def test_a_step_out_of_order_fails_its_flow(source, tmp_path):
    build = build_at(tmp_path / "unplanned.zarr", source)
    index(build)
    with pytest.raises(StepOrderError, match="--step plan"):
        flows.encode_flow(build, workers=Threads())


def test_bad_episodes_fail_the_flow_or_are_counted_in_its_tables(source, tmp_path, client):
    bad = shutil.copytree(source, tmp_path / "bad")
    for number in (0, 2):
        folder_of(bad, f"LAB+{number}+2023-07-07").rows.unlink()
    strict = build_at(tmp_path / "strict.zarr", bad)
    summary = r"2 of 6 episodes were rejected; .* 4 of 6 episodes usable; rejected: h5_missing 2\."
    with pytest.raises(TooManyRejectsError, match=summary):
        flows.featurize_flow(strict, Threads())
    report = flows.featurize_flow(build_at(tmp_path / "bad.zarr", bad, max_rejects=1.0), Threads())
    assert (report.num_episodes, report.rejects) == (4, {"h5_missing": 2})
    tables = {key: artifact_text(client, key) for key in ("rejects", "featurize-result", "encode-progress")}
    assert '"reason": "h5_missing", "episodes": "2"' in tables["rejects"]
    assert '"store": "bad.zarr", "episodes": "4", "trajectories": "4"' in tables["featurize-result"]
    assert float(tables["encode-progress"]) == 100.0


def artifact_text(client, key):
    """What the UI shows last under this key."""
    key_filter = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    (newest, *_) = client.read_artifacts(artifact_filter=key_filter, sort="CREATED_DESC")
    return str(newest.data)


def test_progress_counts_what_is_in_the_ledger(prepared_build, monkeypatch):
    seen = []
    monkeypatch.setattr(flows, "POLL_SECONDS", 0.01)
    encode(prepared_build, encoder_of(prepared_build), [0])
    flows._wait([], prepared_build.store, [0, 1], lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2)]
