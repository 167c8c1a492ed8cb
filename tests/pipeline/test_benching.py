"""`permafrost bench`, as people and programs call it."""

import json

import pytest
import torch

from pipeline.bench import matrix_products, memory_rate
from pipeline.bench.synthetic import SyntheticStore, write_synthetic_store
from pipeline.bench.synthetic_source import SYNTHETIC_SOURCE
from pipeline.commands import benching
from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store

QUICK = ("--seconds", 0.001, "--device", "cpu")
FIELDS = ["what", "value", "unit", "limit", "ratio"]


@pytest.fixture(scope="module")
def store(source, tmp_path_factory):
    """Not to be changed."""
    build = build_at(tmp_path_factory.mktemp("bench") / "built.zarr", source)
    build_store(build)
    return build.store


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Limits are measured on little, which takes no time and says nothing."""
    monkeypatch.setattr(memory_rate, "BUFFER_BYTES", 2**12)
    monkeypatch.setattr(matrix_products, "matmul_rate", lambda _device, _dtype: 1e9)


def test_programs_read_one_object_with_every_row(permafrost, store, source):
    code, out, err = permafrost("bench", store, "--source", source, "--preset", "demo", *QUICK, "--json")
    facts = json.loads(out)
    assert code == 0
    assert "Measuring the training loop." in err
    rows = {row["what"]: row for row in facts["rows"]}
    assert all(list(row) == FIELDS for row in facts["rows"])
    assert len(rows) == len(facts["rows"])
    assert all(row["value"] is not None and row["unit"] for row in rows.values())
    for row in rows.values():
        if row["limit"] is not None:
            limit = rows[row["limit"]]
            assert limit["unit"] == row["unit"]
            assert row["ratio"] == pytest.approx(row["value"] / limit["value"])
    assert facts["store"] == "built.zarr"
    assert facts["device"].startswith("cpu, ")
    assert (facts["preset"], facts["batch_clips"], facts["clip_frames"]) == ("demo", 16, 8)
    assert facts["bottleneck"] in ("predictor step", "read warm")
    assert facts["conclusion"].startswith(f"Training waits for: {facts['bottleneck']};")


def test_what_was_not_measured_is_null_and_has_its_reason(permafrost, store):
    _, out, _ = permafrost("bench", store, "--preset", "demo", *QUICK, "--json")
    facts = json.loads(out)
    (decode,) = [row for row in facts["rows"] if row["what"] == "decode, one thread"]
    assert (decode["value"], decode["limit"], decode["ratio"]) == (None, None, None)
    assert facts["notes"]["decode, one thread"] == "needs --source, the episodes to decode"


def test_people_read_a_table_of_a_hundred_columns_and_the_bottleneck_last(permafrost, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = permafrost("bench", store, "--preset", "demo", *QUICK)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == FIELDS
    (warm,) = [line for line in lines if line.startswith("read warm ")]
    assert "memcpy, one thread" in warm
    assert lines[-1].startswith("Training waits for: ")


def test_in_sixty_columns_nothing_is_cut(permafrost, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = permafrost("bench", store, "--preset", "demo", *QUICK)
    assert code == 0
    assert "…" not in out


def test_the_store_is_left_as_it_was(permafrost, store):
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    permafrost("bench", store, "--preset", "demo", *QUICK, "--json")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_the_predictor_is_the_one_that_fits_the_store(permafrost, store, monkeypatch):
    asked = []

    def stop(recipe, *_):
        asked.append(recipe.preset)
        raise benching.OptionError("that is all")

    monkeypatch.setattr("pipeline.bench.measurement.measure_predictor", stop)
    permafrost("bench", store, *QUICK)
    assert asked == ["medium"]


def test_a_synthetic_store_is_written_measured_and_kept(permafrost, tmp_path, monkeypatch):
    monkeypatch.setattr(benching, "SYNTHETIC_ENCODER", "vit-tiny-random")
    path = tmp_path / "synthetic.zarr"
    options = ("--synthetic", "--synthetic-gib", 0.0005, "--preset", "demo", *QUICK, "--json")
    code, out, err = permafrost("bench", path, *options)
    assert code == 0
    assert json.loads(out)["source"] == SYNTHETIC_SOURCE == Store.open(path).attributes.source.name
    assert "remove it when you are done" in err


def test_training_on_a_synthetic_store_says_that_nothing_is_learnt(permafrost, tmp_path):
    path = tmp_path / "synthetic.zarr"
    write_synthetic_store(SyntheticStore(path=path, size_bytes=1, encoder="vit-tiny-random"))
    options = ("--preset", "demo", "--steps", 1, "--batch-clips", 1, "--device", "cpu")
    code, _, err = permafrost("train", "--store", path, "--run", tmp_path / "run", *options)
    assert code == 0
    assert "holds random numbers of `permafrost bench --synthetic`: this run learns nothing." in " ".join(
        err.split()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--synthetic-gib", 1], "--synthetic-gib goes with --synthetic."),
        (["--seconds", 0], "--seconds is a number above 0; got 0."),
        (["--seconds", "nan"], "--seconds is a number above 0; got nan."),
        (["--synthetic", "--synthetic-gib", -1], "--synthetic-gib is a number above 0; got -1."),
        (["--preset", "huge"], "There is no predictor preset 'huge'; choose one of demo"),
        (["--device", "gpu"], "There is no kind of device called 'gpu'; use 'cpu' or 'cuda'."),
        (["--source", "nowhere"], "nowhere is no folder; point --source at the folder"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_sentence(permafrost, store, options, message):
    code, out, err = permafrost("bench", store, *options)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("options", [["--preset", "huge"], ["--device", "gpu"], ["--source", "nowhere"]])
def test_nothing_is_written_for_what_cannot_be_measured(permafrost, tmp_path, options):
    code, _, err = permafrost("bench", tmp_path / "new.zarr", "--synthetic", *options)
    assert (code, err.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_there_is_told(permafrost, tmp_path):
    code, out, err = permafrost("bench", tmp_path / "nowhere.zarr")
    assert (code, out) == (1, "")
    assert "There is no feature store at" in err


def test_a_synthetic_store_replaces_nothing(permafrost, store):
    code, _, err = permafrost("bench", store, "--synthetic", "--synthetic-gib", 0.001)
    assert code == 1
    assert "something lies at" in err


def test_the_device_is_named_as_its_driver_names_it(monkeypatch):
    from pipeline.bench.measurement import device_name

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Some GPU")
    assert device_name(torch.device("cuda")) == "Some GPU"
