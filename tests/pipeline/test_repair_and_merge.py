"""`featurize --repair`, `featurize --statistics-from` and `merge`, as typed."""

import json
import shutil

import pytest

from store_schema.integrity import digest
from store_schema.layout import slot_path
from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store, write_source
from .conftest import Threads


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    """A finished store of the shared source; not to be changed."""
    store = tmp_path_factory.mktemp("finished") / "monday.zarr"
    build_store(build_at(store, source))
    return store


@pytest.fixture
def command(permafrost, prefect_api, monkeypatch):
    """Runs a command whose flows work in threads; gives exit code, facts and the last message."""
    monkeypatch.setattr("pipeline.workers.Workers", Threads)

    def run(*arguments):
        code, output, messages = permafrost(*arguments, "--json")
        return code, json.loads(output) if output else None, messages.strip().rpartition("\n")[2]

    return run


def test_repair_brings_back_the_bytes_and_says_which_slots(command, finished, source, tmp_path):
    store = shutil.copytree(finished, tmp_path / "damaged.zarr")
    before = digest(store)
    file = store / slot_path(Store.open(store).specs["latents"], 2)
    file.write_bytes(file.read_bytes()[:-1])
    assert command("verify", store, "--level", "hashes")[0] == 1
    code, facts, _ = command("featurize", "--source", source, "--store", store, "--repair")
    assert (code, facts) == (0, {"mended": [2], "changed": []})
    code, facts, _ = command("verify", store, "--level", "hashes")
    assert (code, facts) == (0, {"ok": True, "level": "hashes", "slots": 7, "problems": []})
    assert digest(store) == before


def test_repair_goes_with_no_other_thing_to_do(command, finished, source):
    code, _, message = command("featurize", "--source", source, "--store", finished, "--repair", "--join")
    assert code == 1
    assert message == (
        "permafrost: --step, --join and --repair are different things to do; give one of them."
    )


def test_a_store_built_with_the_statistics_of_another_merges_with_it(command, finished, tmp_path):
    tuesday = write_source(tmp_path / "tuesday", (90, 90, 100))
    for number, folder in enumerate(sorted(tuesday.iterdir())):
        (metadata,) = folder.glob("metadata_*.json")
        metadata.rename(folder / f"metadata_LAB+tuesday{number}.json")
    store, week = tmp_path / "tuesday.zarr", tmp_path / "week.zarr"
    places = ("featurize", "--source", tuesday, "--store", store)
    assert command(*places)[0] == 0
    code, _, message = command("merge", finished, store, "--out", week)
    assert code == 1
    assert "by other channel statistics than monday.zarr" in message
    code, _, message = command(*places, "--statistics-from", finished)
    assert code == 1
    assert "channel_statistics_sha256: store has " in message
    shutil.rmtree(store)
    assert command(*places, "--statistics-from", finished)[0] == 0
    code, facts, _ = command("merge", finished, store, "--out", week)
    assert (code, facts) == (0, {"num_trajectories": 9, "num_slots": 10, "num_copied": 10})
    assert command("verify", week, "--level", "values")[0] == 0
