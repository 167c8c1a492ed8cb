"""A disk that is full at any moment of a build: the file is named, nothing is torn, room is all it takes."""

import errno
import shutil

import pytest

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan
from store_schema.atomic import PARTIAL_SUFFIX, write_atomically
from store_schema.integrity import digest
from store_schema.verify import verify_hashes

from ...small_disk import small_disk
from .builds import build_at

PAGE_BYTES = 4096
STEPS = {
    "index": lambda build, encoder: index(build),
    "plan": plan,
    "calibrate": calibrate,
    "encode": encode,
    "finalise": lambda build, encoder: finalise(build),
}
# Pages that are left when a step is called: it runs out of them in different files.
PAGES_LEFT = {"index": (0, 1), "plan": (9,), "calibrate": (1,), "encode": (20, 90), "finalise": (1, 3)}


def check_store(store):
    """No torn slot, no temporary file; a store that is not there yet is fine."""
    assert list(store.rglob(f"*{PARTIAL_SUFFIX}")) == []
    if (store / "zarr.json").is_file():
        assert list(verify_hashes(store)) == []


def test_a_disk_that_is_full_in_every_step_costs_nothing_but_room(source, encoder, finished, tmp_path):
    with small_disk(tmp_path / "disk", size="8m") as disk:
        build = build_at(disk.path / "store.zarr", source)
        (disk.path / "others").write_bytes(bytes(PAGE_BYTES))
        for step, run in STEPS.items():
            for pages in PAGES_LEFT[step]:
                disk.remount(f"size={shutil.disk_usage(disk.path).used + pages * PAGE_BYTES}")
                with pytest.raises(OSError, match=r"No space left on device \([0-9,]+ bytes free\)") as full:
                    run(build, encoder)
                assert full.value.errno == errno.ENOSPC
                assert full.value.filename.startswith(str(build.store)), full.value.filename
                check_store(build.store)
                print(step, pages, full.value.filename)
            disk.remount("size=8m")
            run(build, encoder)
        assert digest(build.store) == digest(finished.store)


def test_a_full_disk_is_told_with_the_file_and_the_room_that_is_left(tmp_path):
    with small_disk(tmp_path / "disk", size="64k") as disk:
        path = disk.path / "latents/c/0"
        with pytest.raises(OSError, match=r"No space left on device \(65,536 bytes free\)") as full:
            write_atomically(path, bytes(100_000))
        assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(path))
        assert list(path.parent.iterdir()) == []
        write_atomically(path, bytes(10_000))


def test_a_disk_that_turns_read_only_is_told_with_the_file(tmp_path):
    with small_disk(tmp_path / "disk", size="64k") as disk:
        path = disk.path / "zarr.json"
        write_atomically(path, b"old")
        disk.remount("ro")
        with pytest.raises(OSError, match="Read-only file system") as refused:
            write_atomically(path, b"new")
        assert (refused.value.errno, refused.value.filename) == (errno.EROFS, str(path))
        assert [file.name for file in disk.path.iterdir()] == ["zarr.json"]
