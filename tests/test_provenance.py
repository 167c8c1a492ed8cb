"""Stores and checkpoints say who made them from what, and nothing of the machine they were made on."""

import shutil
import socket
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from featurize.encode import encode
from featurize.encoders import encoder_of
from featurize.finalise import finalise
from store_schema.format import BUILD_FOLDER
from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.provenance import code_of_training
from train.recipe_defaults import recipe_for
from train.trainer import train

from .featurize.build.builds import build_at, folder_of, prepare, write_source
from .featurize.build.growing import featurize
from .featurize.droid_files import DroidFolder, write_episode
from .featurize.sources.test_droid_rejects import DAMAGES

MARKER = "marker-f81c"
SOMEBODY = "somebody"
"""Who recorded the episodes, as their metadata say."""
LICENCE = "For everybody, with a mention."
FEW_UPDATES = {"steps": 2, "batch_clips": 2, "clip_frames": 4, "validation_starts": 3, "hours": 0.001}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A grown store with every kind of reject in it, and a run on it, in folders named by the marker."""
    home = tmp_path_factory.mktemp("home") / MARKER
    with pytest.MonkeyPatch.context() as patched:
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "HOSTNAME"):
            patched.setenv(name, f"{MARKER}-{name}")
        patched.setenv("HOME", str(home))
        patched.setenv("SECRET_API_KEY", f"{MARKER}-secret")
        patched.setattr(socket, "gethostname", lambda: f"{MARKER}-host")
        build = build_at(home / "store.zarr", odd_source(home / "source"), max_rejects=1.0)
        prepare(build)
        folder_of(build.source_root, "LAB+0+2023-07-07").rows.unlink()
        encode(build, encoder_of(build))
        finalise(build)
        write_episode(build.source_root / "new", uuid="LAB+new")
        featurize(build, encoder_of(build))
        run = home / "run"
        train(recipe_for("demo", **FEW_UPDATES), build.store, run, device="cpu")
    return build.store, run / "checkpoint.pt"


def odd_source(root: Path) -> Path:
    """Six episodes that are usable and one of every damage."""
    write_source(root)
    (root / "LICENSE.txt").write_text(LICENCE)
    whole = DroidFolder(root / "episode-1")
    for number, damage in enumerate(DAMAGES.values()):
        damage.do(DroidFolder(shutil.copytree(whole.path, root / f"bad/{number:02d}/episode")))
    return root


def readable_parts(path: Path) -> dict[str, bytes]:
    """The bytes of a file, unpacked where they lie compressed."""
    if path.suffix == ".parquet":
        return {path.name: repr(pq.read_table(path).to_pylist()).encode(), "schema": path.read_bytes()}
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return {path.name: path.read_bytes()}


def test_nothing_of_the_machine_is_in_a_store_or_a_checkpoint(made):
    store, checkpoint = made
    rejects = Store.open(store).rejects_by_reason()
    assert len(rejects) > 10, "this many ways to quote an error message"
    files = [p for p in store.rglob("*") if p.is_file() and p.relative_to(store).parts[0] != BUILD_FOLDER]
    assert len(files) > 60
    for path in (*files, checkpoint):
        for name, content in readable_parts(path).items():
            for word in (MARKER, SOMEBODY, str(store.parent)):
                assert word.encode() not in content, (path, name, word)


def test_the_search_would_find_a_path(made, tmp_path):
    """Both ways in which something can hide: compressed in a table, and inside the checkpoint's archive."""
    import pyarrow as pa
    import torch

    pq.write_table(
        pa.table({"detail": [f"/home/{MARKER}"] * 1000}), tmp_path / "t.parquet", compression="zstd"
    )
    torch.save({"path": f"/home/{MARKER}"}, tmp_path / "c.pt")
    for name in ("t.parquet", "c.pt"):
        assert any(MARKER.encode() in content for content in readable_parts(tmp_path / name).values())


def test_a_store_says_what_made_it_from_what(made):
    attributes = Store.open(made[0]).attributes
    for of_revision in (attributes, attributes.before(1)):
        assert of_revision.code_version.startswith("0.1.0+")
        assert {"torch", "zarr", "numpy", "permafrost"} <= of_revision.library_versions.keys()
    assert attributes.revision == 2
    assert attributes.source.licence == LICENCE
    assert "DROID" in attributes.source.attribution
    assert attributes.recipe["encoder"] == attributes.fingerprint.encoder.name
    assert len(attributes.fingerprint.encoder.weights_sha256) == 64


def test_a_checkpoint_says_what_made_it_from_what(made):
    checkpoint, attributes = Checkpoint.load(made[1]), Store.open(made[0]).attributes
    assert checkpoint.recipe["steps"] == 2
    assert checkpoint.code_version == code_of_training()
    assert {"torch", "numpy", "permafrost"} <= checkpoint.library_versions.keys()
    trained_on = checkpoint.trained_on
    assert (trained_on["store_uuid"], trained_on["store_revision"]) == (attributes.uuid, 2)
    assert trained_on["encoder_weights_sha256"] == attributes.fingerprint.encoder.weights_sha256
    assert (trained_on["licence"], trained_on["attribution"]) == (LICENCE, attributes.source.attribution)
