"""Commands that only read a store take s3://BUCKET/PREFIX, and do there what they do on a disk."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import cli
from store_schema.layout import slot_path
from store_schema.remote_files import address_of, folder_of
from store_schema.store import Store

from ..s3_server import BUCKET, SECRET, client, s3_server, upload

PREFIX = "robots/tiny.zarr"
ADDRESS = f"s3://{BUCKET}/{PREFIX}"
FEW_UPDATES = ("--preset", "demo", "--steps", 3, "--batch-clips", 2, "--clip-frames", 4, "--hours", 0.001,
               "--validate-every", 2, "--device", "cpu")  # fmt: skip
DAMAGED = "robots/damaged.zarr"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an empty cache for a user to whom the server's address and credentials are known."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for _ in s3_server(patched):
            yield folder


@pytest.fixture(scope="module")
def uploaded(home: Path, make_store: Callable[..., Path]) -> Path:
    """A store that lies there and here; not to be changed."""
    lengths = [(20, "train"), (130, "train"), (20, "validation"), (18, "validation")]
    store = make_store(home / "tiny.zarr", trajectories=lengths)
    upload(store, BUCKET, PREFIX)
    return store


@pytest.fixture
def damaged(uploaded: Path) -> str:
    """The address of another copy, to be damaged."""
    upload(uploaded, BUCKET, DAMAGED)
    return f"s3://{BUCKET}/{DAMAGED}"


def run_here(*arguments: object) -> None:
    """As `permafrost` does, outside of a test."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["permafrost", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code


@pytest.fixture(scope="module")
def trained(home: Path, uploaded: Path) -> Path:
    """A run on the store that lies there; not to be changed."""
    run_here("train", "--store", ADDRESS, "--run", home / "there", *FEW_UPDATES)
    return home / "there"


def measured(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = ("step", "teacher_forcing_loss", "rollout_loss", "l1", "baselines")
    return [{name: line[name] for name in kept if name in line} for line in lines]


def test_training_from_there_gives_the_losses_of_training_from_here(permafrost, trained, uploaded, tmp_path):
    here = tmp_path / "here"
    assert permafrost("train", "--store", uploaded, "--run", here, *FEW_UPDATES)[0] == 0
    assert len(measured(here)) == 5
    assert measured(trained) == measured(here)
    assert (
        json.loads((trained / "evaluation.json").read_text())["l1"]
        == (json.loads((here / "evaluation.json").read_text())["l1"])
    )


def test_a_run_remembers_the_address_and_no_credentials(trained, home):
    assert (trained / "store_path.txt").read_text() == f"{ADDRESS}\n"
    written = [p for top in (trained, home / "cache") for p in top.rglob("*") if p.is_file()]
    assert len(written) > 10
    assert not [p for p in written if SECRET.encode() in p.read_bytes()]
    checkpoint = (trained / "checkpoint.pt").read_bytes()
    assert not [name for name in (ADDRESS, "127.0.0.1", str(home)) if name.encode() in checkpoint]


def test_a_run_is_evaluated_planned_with_and_drawn_from_there(permafrost, trained):
    few = ("--samples", 12, "--rounds", 1, "--device", "cpu", "--json")
    code, out, err = permafrost("evaluate", trained, "--starts", 1, *few)
    assert code == 0, err
    assert json.loads(out)["assessment"]
    code, out, err = permafrost("plan", trained, "--store", ADDRESS, "--start", "0:0", "--goal", "0:1", *few)
    assert code == 0, err
    assert len(json.loads(out)["actions"]) == 1
    code, _, err = permafrost("report", trained, "--device", "cpu")
    assert code == 0, err
    assert ADDRESS in err
    assert (trained / "report.png").stat().st_size > 10_000


def test_a_run_goes_on_from_there(permafrost, trained):
    code, _, err = permafrost("train", "--store", ADDRESS, "--run", trained, *FEW_UPDATES)
    assert code == 0, err
    assert "Finished all 3 steps" in err


def test_status_and_inspect_say_there_what_they_say_here(permafrost, uploaded, tmp_path):
    for command in ("status", "inspect"):
        code, out, _ = permafrost(command, ADDRESS, "--json")
        assert code == 0
        there, here = json.loads(out), json.loads(permafrost(command, uploaded, "--json")[1])
        assert there.pop("next_step") == f"Run `permafrost train --store {ADDRESS} --run ...`."
        here.pop("next_step")
        assert there == here
    pictures = [tmp_path / "there.png", tmp_path / "here.png"]
    for store, picture in zip((ADDRESS, uploaded), pictures, strict=True):
        assert permafrost("inspect", store, "--frames", 3, "--output", picture)[0] == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.parametrize("level", ["schema", "hashes", "values"])
def test_verify_reads_what_lies_there(permafrost, uploaded, level):
    code, out, err = permafrost("verify", ADDRESS, "--level", level, "--json")
    assert (code, json.loads(out)["problems"]) == (0, []), err


def test_verify_finds_what_is_wrong_there(permafrost, uploaded, damaged):
    specs = Store.open(uploaded).specs
    changed, lost = slot_path(specs["latents"], 1), slot_path(specs["thumbnails"], 2)
    data = (uploaded / changed).read_bytes()
    client().put_object(Bucket=BUCKET, Key=f"{DAMAGED}/{changed}", Body=bytes([data[0] ^ 1]) + data[1:])
    client().delete_object(Bucket=BUCKET, Key=f"{DAMAGED}/{lost}")
    client().put_object(Bucket=BUCKET, Key=f"{DAMAGED}/states/c/77/0", Body=b"of no slot")
    code, out, _ = permafrost("verify", damaged, "--json")
    found = {(problem["kind"], problem["where"]) for problem in json.loads(out)["problems"]}
    assert code == 1
    assert found == {
        ("wrong_hash", "slot 1, array latents"),
        ("missing_file", "slot 2, array thumbnails"),
        ("stray_file", "states/c/77/0"),
    }
    _, out, _ = permafrost("verify", damaged)
    assert "Upload these files anew" in " ".join(out.split())


def test_a_thumbnail_that_changed_there_is_damage(permafrost, uploaded, damaged, tmp_path):
    name = slot_path(Store.open(uploaded).specs["thumbnails"], 0)
    client().put_object(Bucket=BUCKET, Key=f"{DAMAGED}/{name}", Body=(uploaded / name).read_bytes()[:-1])
    picture = ("--frames", 1, "--trajectory", 0, "--output", tmp_path / "there.png")
    code, _, err = permafrost("inspect", damaged, *picture)
    assert (code, "slot 0, array thumbnails" in err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("featurize", "--source", "data", "--store", ADDRESS),
        ("merge", "a.zarr", ADDRESS, "--out", "all.zarr"),
        ("merge", "a.zarr", "b.zarr", "--out", ADDRESS),
        ("bench", ADDRESS),
        ("estimate", "--hours", 1, "--store", ADDRESS),
    ],
)
def test_what_needs_files_says_so(permafrost, arguments):
    code, _, err = permafrost(*arguments)
    assert (code, f"{ADDRESS} is on object storage, where stores are read and nothing else" in err) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("verify", ADDRESS, "--digest"), "--digest"),
        (("verify", ADDRESS, "--level", "values", "--source", "data"), "--source"),
        (("train", "--online", "--source", "d", "--store", ADDRESS, "--run", "r"), "--online"),
    ],
)
def test_options_that_need_files_say_so(permafrost, uploaded, arguments, what):
    code, _, err = permafrost(*arguments)
    assert (code, f"{what} needs the files of the store, and {ADDRESS} is on" in err) == (1, True)


def test_credentials_in_an_address_are_refused_and_not_repeated(permafrost):
    code, _, err = permafrost("status", f"s3://somebody:{SECRET}@bucket/store.zarr")
    assert (code, SECRET in err, "names a bucket, and no credentials" in err) == (1, False, True)


def test_the_folder_that_stands_for_a_store_is_the_same_every_time(uploaded, home):
    folder = folder_of(ADDRESS)
    assert folder == folder_of(f"{ADDRESS}/")
    assert (folder.name, home / "cache" in folder.parents) == ("tiny.zarr", True)
    assert address_of(folder) == ADDRESS
    assert address_of(uploaded) is None
    assert folder_of(str(uploaded)) == uploaded
