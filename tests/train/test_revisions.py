"""Runs over a store that grows: each goes on with the one revision that it was begun on."""

import shutil
from pathlib import Path

import pytest

from store_schema.errors import RevisionError
from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.evaluation import evaluate
from train.provenance import RunMismatchError
from train.trainer import train

from ..growing_store import extend, fill
from .test_resume import assert_same_run

FIRST = [(40, "train"), (129, "train"), (30, "validation"), (24, "validation")]


class Stopped(Exception):  # noqa: N818 - a stop that the test asks for
    pass


@pytest.fixture(scope="module")
def first(make_store, tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("revisions") / "store.zarr", trajectories=FIRST)


@pytest.fixture
def own(first, tmp_path):
    return Path(shutil.copytree(first, tmp_path / "own.zarr"))


@pytest.fixture(scope="module")
def grown(first, tmp_path_factory):
    """The first store and, from revision 2 on, as many trajectories again; not to be changed."""
    path = Path(shutil.copytree(first, tmp_path_factory.mktemp("revisions") / "grown.zarr"))
    fill(extend(path))
    return path


@pytest.fixture(scope="module")
def run_on_first(first, tiny_recipe, tmp_path_factory):
    """A finished run that was never interrupted."""
    path = tmp_path_factory.mktemp("revisions") / "run"
    train(tiny_recipe(), first, path, device="cpu")
    return path


def trained_on(run):
    return Checkpoint.load(run / "checkpoint.pt").trained_on


def train_two_updates(recipe, store, run):
    def stop(progress):
        if progress.step == 3:
            raise Stopped

    with pytest.raises(Stopped):
        train(recipe, store, run, device="cpu", on_progress=stop)
    assert Checkpoint.load(run / "checkpoint.pt").step == 2


def test_a_run_goes_on_bit_for_bit_while_its_store_grows_and_after(own, tiny_recipe, run_on_first, tmp_path):
    train_two_updates(tiny_recipe(), own, tmp_path / "while")
    shutil.copytree(tmp_path / "while", tmp_path / "after")
    growing = extend(own)
    train(tiny_recipe(), own, tmp_path / "while", device="cpu")
    assert_same_run(tmp_path / "while", run_on_first)
    fill(growing)
    assert Store.open(own).attributes.revision == 2
    train(tiny_recipe(), own, tmp_path / "after", device="cpu")
    assert_same_run(tmp_path / "after", run_on_first)


def test_a_finished_run_is_left_as_it_is_when_its_store_has_grown(grown, tiny_recipe, run_on_first):
    before = {path: path.stat().st_mtime_ns for path in run_on_first.rglob("*")}
    train(tiny_recipe(), grown, run_on_first, device="cpu")
    assert {path: path.stat().st_mtime_ns for path in run_on_first.rglob("*")} == before


def test_a_new_run_takes_what_is_sealed(own, grown, tiny_recipe, tmp_path, run_on_first):
    extend(own)
    train(tiny_recipe(), own, tmp_path / "early", device="cpu")
    assert trained_on(tmp_path / "early") == trained_on(run_on_first)
    train(tiny_recipe(), grown, tmp_path / "late", device="cpu")
    late = trained_on(tmp_path / "late")
    assert (late["store_uuid"], late["store_revision"]) == (Store.open(grown).attributes.uuid, 2)
    assert late["num_windows"] == 2 * trained_on(run_on_first)["num_windows"]


def test_a_run_on_an_earlier_revision_is_the_run_of_then(grown, tiny_recipe, run_on_first, tmp_path):
    train(tiny_recipe(), grown, tmp_path / "run", store_revision=1, device="cpu")
    assert_same_run(tmp_path / "run", run_on_first)
    assert trained_on(tmp_path / "run")["store_revision"] == 1


def test_a_revision_that_is_not_there_or_not_sealed_is_refused(own, tiny_recipe, tmp_path):
    with pytest.raises(RevisionError, match=r"own\.zarr has revisions 1 to 1; got 2"):
        train(tiny_recipe(), own, tmp_path / "run", store_revision=2)
    extend(own)
    with pytest.raises(
        RevisionError, match=r"Revision 2 of store own\.zarr is not sealed yet\. .* one of 1 to 1\."
    ):
        train(tiny_recipe(), own, tmp_path / "run", store_revision=2)


def test_a_run_is_not_continued_on_another_revision(grown, tiny_recipe, run_on_first):
    with pytest.raises(RunMismatchError, match=r"data differs.*store_revision: run has 1, asked for 2"):
        train(tiny_recipe(), grown, run_on_first, store_revision=2)


def test_a_store_that_lacks_the_revision_of_a_run_is_refused_with_both_named(
    first, grown, tiny_recipe, tmp_path
):
    train_two_updates(tiny_recipe(), grown, tmp_path / "run")
    of_run, found = (Store.open(path).attributes.uuid for path in (grown, first))
    differing = f"store_revision: run has 2, asked for 1; store_uuid: run has {of_run}, asked for {found}"
    with pytest.raises(RunMismatchError, match=differing):
        train(tiny_recipe(), first, tmp_path / "run")


def test_evaluate_measures_the_revision_of_the_run_unless_told_otherwise(
    grown, first, run_on_first, tmp_path
):
    run = Path(shutil.copytree(run_on_first, tmp_path / "run"))
    at_end = evaluate(run_on_first, first, device="cpu")
    assert evaluate(run, grown, device="cpu") == at_end
    assert at_end["measured_on"]["store_revision"] == 1
    later = evaluate(run, grown, store_revision=2, device="cpu")["measured_on"]
    assert (later["store_revision"], later["num_trajectories"]) == (2, 4)
