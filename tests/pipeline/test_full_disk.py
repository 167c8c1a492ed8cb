"""What the command says of a place it cannot write to: one sentence, exit code 1, and then it goes on."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from store_schema.integrity import digest
from store_schema.verify import verify_hashes

from ..featurize.build.builds import build_at, build_store
from ..small_disk import small_disk
from .conftest import Threads

FREE_BYTES = 128 << 10


@pytest.fixture(autouse=True)
def in_threads(prefect_api, monkeypatch):
    monkeypatch.setattr("pipeline.workers.Workers", Threads)


def test_a_full_disk_fails_the_command_by_its_slots_and_it_completes_once_there_is_room(
    permafrost, source, tmp_path
):
    whole = build_at(tmp_path / "whole.zarr", source)
    build_store(whole)
    with small_disk(tmp_path / "disk", size="8m") as disk:
        store = disk.path / "store.zarr"
        command = ["featurize", "--source", source, "--store", store]
        for step in ("index", "plan", "calibrate"):
            assert permafrost(*command, "--step", step)[0] == 0
        disk.remount(f"size={shutil.disk_usage(disk.path).used + FREE_BYTES}")
        code, out, err = permafrost(*command)
        assert (code, out) == (1, "")
        assert re.search(
            r"permafrost: \d of 7 slots failed: .*\. Causes: No space left on device \([0-9,]+ bytes free\): "
            rf"{store}/[a-z_]+/\S+\. Make room there and run the same command again",
            err,
        ), err
        assert list(store.rglob("*.partial")) == []
        assert list(verify_hashes(store)) == []
        disk.remount("size=8m")
        assert permafrost(*command)[0] == 0
        assert digest(store) == digest(whole.store)


def test_a_read_only_place_is_told_in_one_sentence(permafrost, source, tmp_path):
    with small_disk(tmp_path / "disk", size="64k") as disk:
        disk.remount("ro")
        code, _, err = permafrost("featurize", "--source", source, "--store", disk.path / "store.zarr")
    assert code == 1
    assert re.search(
        rf"permafrost: Read-only file system: {disk.path}\S*\. Mount it writable, or choose", err
    ), err


def test_a_place_that_one_may_not_write_to_is_told_in_one_sentence(source, tmp_path, prefect_api):
    place = tmp_path / "of-others"
    place.mkdir(mode=0o555)
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "featurize",
        "--source",
        source,
        "--store",
        place / "store.zarr",
    ]
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}
    done = subprocess.run([*without_privileges(), *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(rf"permafrost: Permission denied: {place}\S*\. Give this user the right", done.stderr), (
        done.stderr
    )
    assert list(place.iterdir()) == []


def without_privileges():
    """What turns root into a user like any other, before whom files of mode 555 are safe."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("we are root, and util-linux's setpriv is not there to drop its privileges")
    return ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
