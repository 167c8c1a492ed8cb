"""`permafrost estimate`, as people and programs call it."""

import json

import pytest

from store_schema.store import Store

from ..featurize.build.builds import build_at, build_store

MISSION = ("estimate", "--hours", 62, "--num-views", 4, "--encoder", "vjepa2-vitg", "--gpu", "h200")


def test_programs_read_every_figure_by_name_and_with_its_formula(permafrost):
    code, out, err = permafrost(*MISSION, "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert facts["frames"] == 4 * 892_800
    assert facts["latents_bytes"] == pytest.approx(4 * 0.32e12, rel=0.01)
    assert facts["flops_per_frame"] == 532_055_851_008
    assert facts["step_flops"] == pytest.approx(2.546e15, rel=0.01)
    assert facts["online_encodings"] == 387_072_000
    assert facts["break_even_steps"] == 4 * 892_800 / 4096
    assert len(facts["rows"]) == len(facts) - 1
    assert all(row.keys() == {"what", "value", "unit", "formula"} for row in facts["rows"])
    assert all(row["formula"] for row in facts["rows"])


def test_people_read_a_table_of_a_hundred_columns(permafrost, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = permafrost(*MISSION)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in out.splitlines()}
    assert lines["frames to store"] == (
        "frames to store 3,571,200 62 h x 3,600 s x 4 Hz x 4 views x 1 camera"
    )
    assert lines["store in int8"] == "store in int8 1.34 TB sum over all arrays, without tables"
    assert lines["time to encode once"].startswith("time to encode once 53.4 minutes")
    assert "Encoding once has paid after 871.9 training steps" in out


def test_the_predictor_is_the_one_that_fits_the_encoder(permafrost):
    """`small` trains 10,000 steps of 64 clips."""
    _, out, _ = permafrost("estimate", "--hours", 1, "--json")
    assert json.loads(out)["online_encodings"] == 10_000 * 64 * 16


def test_the_estimate_of_a_source_is_what_is_built_from_it(permafrost, source, tmp_path):
    code, out, _ = permafrost("estimate", "--source", source, "--num-views", 3, "--json")
    facts = json.loads(out)
    build = build_at(tmp_path / "built.zarr", source, num_views=3)
    build_store(build)
    store = Store.open(build.store)
    latents = sum(file.stat().st_size for file in (build.store / "latents/c").rglob("*") if file.is_file())
    assert (code, facts["episodes"], facts["rejected_episodes"]) == (0, 6, 0)
    assert (facts["trajectories"], facts["slots"]) == (len(store.trajectories), store.attributes.num_slots)
    assert facts["frames"] == store.stored_frames
    assert facts["latents_bytes"] == latents


def test_room_is_told_where_the_place_of_the_store_is_named(permafrost, tmp_path):
    code, out, _ = permafrost(*MISSION, "--store", tmp_path / "not/there/yet.zarr")
    assert code == 0
    assert "free on its disk" in out
    assert "on the disk of --store." in out


def test_calibrate_measures_this_machine_names_the_bottleneck_and_leaves_nothing(
    permafrost, source, tmp_path
):
    place = tmp_path / "place"
    place.mkdir()
    options = ("--store", place / "new.zarr", "--calibrate", "--calibrate-seconds", 0.1, "--json")
    code, out, err = permafrost("estimate", "--source", source, *options)
    facts = json.loads(out)
    assert code == 0
    assert "Measuring encode." in err
    stages = {stage: facts[f"{stage}_hours_here"] for stage in ("index", "decode", "encode", "write")}
    assert facts["bottleneck"] == max(stages, key=stages.get)
    assert facts["measured_on"] == "source"
    assert facts["build_hours_here"] >= max(stages.values())
    assert list(place.iterdir()) == []


def test_calibrate_without_a_source_says_that_it_drew_one(permafrost, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.estimation.DRAWN_SIZE_PX", (64, 64))
    options = ("--store", tmp_path / "new.zarr", "--calibrate", "--calibrate-seconds", 0.1)
    code, out, err = permafrost("estimate", "--hours", 1, *options)
    assert code == 0
    assert "No --source to decode: using two drawn episodes" in err
    assert "index and decode were measured on: two drawn episodes" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give --source, a folder of episodes, or --hours, their length; one of the two."),
        (["--source", ".", "--hours", 1], "Give --source, a folder of episodes, or --hours"),
        (["--hours", -3], "--hours is a number above 0; got -3."),
        (["--hours", "nan"], "--hours is a number above 0; got nan."),
        (["--hours", 1, "--num-views", 0], "--num-views is a number above 0; got 0."),
        (["--hours", 1, "--utilisation", 1.5], "--utilisation is a share, above 0 and at most 1; got 1.5."),
        (["--hours", 1, "--gpu", "v100"], "There is no GPU 'v100' in the table; choose one of a100, h100"),
        (["--hours", 1, "--encoder", "vjepa2-vitx"], "There is no encoder 'vjepa2-vitx'. Did you mean"),
        (["--hours", 1, "--preset", "huge"], "There is no predictor preset 'huge'; choose one of demo"),
        (["--hours", 1, "--preset", "vjepa2-ac"], "Preset 'vjepa2-ac' is built for 16 x 16 tokens"),
        (["--hours", 1, "--cameras", "top"], "cameras.0: Input should be 'left', 'right' or 'wrist'"),
        (["--hours", 1, "--clock", "physical"], "--clock goes with --source."),
        (["--source", ".", "--episode-seconds", 5], "--episode-seconds goes with --hours."),
        (["--hours", 1, "--calibrate-seconds", 5], "--calibrate-seconds goes with --calibrate."),
        (["--hours", 1, "--workers", 5], "--workers goes with --calibrate."),
        (["--source", "nowhere"], "/nowhere is no folder; point --source at"),
    ],
)  # fmt: skip
def test_what_cannot_be_estimated_is_told_in_one_sentence(permafrost, arguments, message):
    code, out, err = permafrost("estimate", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
