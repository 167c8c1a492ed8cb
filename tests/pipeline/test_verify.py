"""`permafrost verify`: what programs read, what people read, and the exit code."""

import json
import shutil

import pytest

from store_schema.integrity import digest

from ..featurize.build.builds import build_at, build_store


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    build = build_at(tmp_path_factory.mktemp("verify") / "finished.zarr", source)
    build_store(build)
    return build


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the store, to be damaged."""
    return shutil.copytree(finished.store, tmp_path / "own.zarr")


def flip(file):
    data = bytearray(file.read_bytes())
    data[1000 % len(data)] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(("level", "slots"), [("schema", 0), ("hashes", 7), ("values", 7)])
def test_a_whole_store_passes_every_level(permafrost, finished, level, slots):
    code, out, err = permafrost("verify", finished.store, "--level", level, "--json")
    whole = {"ok": True, "level": level, "slots": slots, "problems": []}
    assert (code, err, json.loads(out)) == (0, "", whole)


def test_hashes_is_the_level_where_none_is_named_and_the_digest_is_printed(permafrost, finished):
    _, out, _ = permafrost("verify", finished.store, "--digest", "--json")
    facts = json.loads(out)
    assert (facts["level"], facts["digest"]) == ("hashes", digest(finished.store))


def test_one_flipped_bit_is_exit_code_1_and_named(permafrost, own):
    flip(own / "latents/c/3/0/0")
    code, out, _ = permafrost("verify", own, "--json")
    facts = json.loads(out)
    (problem,) = facts["problems"]
    assert (code, facts["ok"], problem.keys()) == (1, False, {"kind", "where", "detail"})
    assert (problem["kind"], problem["where"]) == ("wrong_hash", "slot 3, array latents")


def test_people_are_told_the_command_that_mends_it(permafrost, own):
    flip(own / "latents/c/3/0/0")
    code, out, _ = permafrost("verify", own)
    shown = " ".join(out.replace("│", " ").split())
    assert code == 1
    assert "wrong_hash: 1" in shown
    assert "slot 3, array latents: episode" in shown
    assert "--repair encodes 1 slots again, and no others" in shown


def test_people_are_told_what_no_repair_mends(permafrost, own):
    flip(own / "ledger.parquet")
    code, out, _ = permafrost("verify", own)
    assert (code, "Restore the files named from a copy" in " ".join(out.split())) == (1, True)


def test_people_see_the_first_problems_and_programs_all(permafrost, own):
    for array in ("states", "actions", "extrinsics"):
        shutil.rmtree(own / array / "c")
    _, out, _ = permafrost("verify", own)
    assert "and 1 more; --json lists all" in " ".join(out.split())
    _, out, _ = permafrost("verify", own, "--json")
    assert len(json.loads(out)["problems"]) == 21


def test_frames_are_encoded_again_from_the_source(permafrost, finished, own, source):
    command = ("verify", own, "--level", "values", "--source", source, "--frames", 5, "--seed", 1, "--json")
    code, out, err = permafrost(*command)
    assert (code, json.loads(out)["problems"]) == (0, []), err
    shutil.rmtree(own / "build")
    code, out, err = permafrost(*command)
    assert (code, out, "own.zarr has no build/episodes.parquet" in err) == (1, "", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "3"], "--frames, --seed, --weights and --device go with --source."),
        (["--source", "data/demo"], "--source goes with --level values."),
    ],
)
def test_options_that_go_together_are_asked_for_together(permafrost, finished, options, message):
    code, out, err = permafrost("verify", finished.store, *options)
    assert (code, out, err) == (1, "", f"permafrost: {message}\n")
