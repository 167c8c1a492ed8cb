"""Runs that encode on the fly, from the command line and through what can go wrong."""

import json
import shutil

import pytest

from featurize.errors import PlanMismatchError, SourceMovedError, StepOrderError
from pipeline.online.errors import OnlineEpisodeError
from store_schema.errors import FingerprintMismatchError
from store_schema.layout import read_attributes, write_attributes
from store_schema.slot_writer import SlotWriter
from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.provenance import RunMismatchError, ensure_same
from train.trainer import train
from train.view import NothingStoredError

from ...featurize.build.builds import folder_of
from .conftest import CPU, RECIPE, losses_of


@pytest.fixture
def own_run(online_run, tmp_path):
    return shutil.copytree(online_run, tmp_path / "own_run")


@pytest.fixture
def own_source(source, tmp_path):
    return shutil.copytree(source, tmp_path / "own_source")


def options(**named):
    return [part for name, value in named.items() for part in (f"--{name.replace('_', '-')}", value)]


def test_one_command_plans_trains_and_evaluates_without_a_store(permafrost, source, online_run, tmp_path):
    store, run = tmp_path / "plan.zarr", tmp_path / "run"
    have_no_option = ("validation_starts", "warmup_steps", "decay_steps")
    chosen = {name: value for name, value in RECIPE.items() if name not in have_no_option}
    arguments = options(source=source, store=store, run=run, preset="demo", device="cpu", **chosen)
    code, out, _ = permafrost("train", "--online", "--json", *arguments)
    assert code == 0
    assert json.loads(out)["measured_on"]["num_starts"] > 0
    made = Store.open(store)
    assert (len(made.planned_trajectories), len(made.ledger)) == (6, 0)
    assert not list((store / "latents").glob("c/**/*"))
    assert losses_of(run)[0] == losses_of(online_run)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "x"], "--source: only with --online; a store brings latents with it."),
        (["--online"], "--online encodes from the source: give the folder of episodes with --source."),
    ],
)
def test_options_that_do_not_go_together_are_told(permafrost, tmp_path, arguments, message):
    code, _, err = permafrost("train", "--store", tmp_path / "s.zarr", "--run", tmp_path / "r", *arguments)
    assert (code, err) == (1, f"permafrost: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_several_processes_do_not_plan(permafrost, source, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = options(source=source, store=tmp_path / "s.zarr", run=tmp_path / "r")
    code, _, err = permafrost("train", "--online", *arguments)
    assert (code, "is not planned yet, which is for one process to do" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_goes_on_bit_for_bit(online_run, store_states, online_source, recipe, tmp_path):
    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    store = store_states["planned"]
    view_of = online_source(store).view
    with pytest.raises(KeyboardInterrupt):
        train(recipe, store, tmp_path, device="cpu", view_of=view_of, on_progress=stop)
    assert Checkpoint.load(tmp_path / "checkpoint.pt").step == 2
    train(recipe, store, tmp_path, device="cpu", view_of=view_of)
    assert losses_of(tmp_path) == losses_of(online_run)


def test_a_run_goes_on_when_its_store_was_calibrated_meanwhile(own_run, store_states, online_source, recipe):
    store = store_states["calibrated"]
    assert train(recipe, store, own_run, device="cpu", view_of=online_source(store).view).evaluation


def test_a_run_is_not_resumed_the_other_way(own_run, store_states, recipe):
    with pytest.raises(RunMismatchError, match="latents: run has online, asked for stored"):
        train(recipe, store_states["sealed"], own_run, device="cpu")


def test_a_checkpoint_of_before_says_that_its_latents_were_stored():
    ensure_same("data", {"clock": "physical"}, {"clock": "physical", "latents": "stored"}, "")
    with pytest.raises(RunMismatchError, match="latents: run has stored, asked for online"):
        ensure_same("data", {"clock": "physical"}, {"clock": "physical", "latents": "online"}, "")


def test_an_episode_that_broke_since_stops_the_run_and_is_named(
    store_states, online_source, own_source, recipe, tmp_path
):
    store = store_states["planned"]
    training = Store.open(store).planned_trajectories[0]
    video = folder_of(own_source, training.episode_id).video
    video.write_bytes(video.read_bytes()[:2000])
    view_of = online_source(store, source=own_source).view
    expected = rf"Episode {training.episode_id.replace('+', '.')}: .* usable when the plan was made"
    with pytest.raises(OnlineEpisodeError, match=expected):
        train(recipe, store, tmp_path / "run", device="cpu", view_of=view_of)


def test_a_source_that_is_elsewhere_is_told(store_states, online_source, tmp_path):
    store = store_states["planned"]
    with pytest.raises(SourceMovedError, match="No episode that was indexed lies under"):
        online_source(store, source=tmp_path).view(Store.open(store), CPU)


def test_a_store_without_its_index_is_told(store_states, online_source, tmp_path):
    store = shutil.copytree(store_states["sealed"], tmp_path / "store.zarr")
    shutil.rmtree(store / "build")
    with pytest.raises(StepOrderError, match="run `permafrost featurize --step index` first"):
        online_source(store).view(Store.open(store), CPU)


def test_another_encoder_than_that_of_the_plan_is_refused(store_states, online_source):
    other = online_source(store_states["planned"], encoder="timm:vit_tiny_patch16_224")
    with pytest.raises(PlanMismatchError, match="encoder: store has vit-tiny-random, asked for timm"):
        other.is_planned()


def test_other_weights_than_those_of_the_plan_are_refused(store_states, online_source, tmp_path):
    store = shutil.copytree(store_states["planned"], tmp_path / "store.zarr")
    attributes = read_attributes(store)
    attributes["fingerprint"]["encoder"]["weights_sha256"] = "0" * 64
    write_attributes(store, attributes)
    with pytest.raises(FingerprintMismatchError, match="weights_sha256: store has 0000"):
        online_source(store).view(Store.open(store), CPU)


def test_trajectories_that_encode_rejected_are_not_drawn_from(store_states, online_source, tmp_path):
    """As from the finished store; trajectories whose turn has not come are."""
    path = shutil.copytree(store_states["partly_encoded"], tmp_path / "store.zarr")
    before = Store.open(path)
    assert online_source(path).view(before, CPU).trajectories == before.planned_trajectories
    rejected = before.planned_trajectories[1]
    fingerprint_sha256 = before.attributes.fingerprint.sha256()
    writer = SlotWriter(path=path, specs=before.specs, fingerprint_sha256=fingerprint_sha256)
    writer.reject(rejected.first_slot, rejected.episode_id, "video_unreadable", "It cannot be decoded.")
    seen = online_source(path).view(Store.open(path), CPU).trajectories
    assert seen == tuple(t for t in before.planned_trajectories if t != rejected)


def test_reading_latents_of_a_plan_is_refused(store_states, recipe, own_run, permafrost, tmp_path):
    planned = store_states["planned"]
    message = "Store planned.zarr is planned, but none of its trajectories is encoded: there is"
    with pytest.raises(NothingStoredError, match=message):
        train(recipe, planned, tmp_path / "run", device="cpu")
    for command in ("report", "evaluate"):
        code, _, err = permafrost(command, own_run, "--store", planned)
        assert (code, message in err) == (1, True)


def test_a_run_is_reported_on_the_store_that_was_finished_since(own_run, store_states, permafrost):
    assert permafrost("report", own_run, "--store", store_states["sealed"], "--device", "cpu")[0] == 0
    assert (own_run / "report.png").is_file()
