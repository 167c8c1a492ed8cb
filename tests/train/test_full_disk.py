"""A disk that fills up while a run trains: the old checkpoint stays whole."""

import errno
from dataclasses import replace

import pytest
import torch

from train.checkpoint import Checkpoint

from ..small_disk import small_disk

NOTHING = {"optimiser": {"state": {}}, "recipe": {}, "predictor": {}, "trained_on": {}}
TOO_LARGE = {
    "in one tensor": {"w": torch.zeros(200_000)},
    "in many": {f"w{number}": torch.zeros(9_000) for number in range(30)},
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_a_full_disk_leaves_the_old_checkpoint_and_names_the_file(tmp_path, kind):
    """torch.save itself says only "unexpected pos"."""
    small = {"w": torch.zeros(100_000)}
    old = Checkpoint(step=1, model=small, code_version="1", library_versions={}, **NOTHING)
    new = replace(old, step=2, model=TOO_LARGE[kind])
    with small_disk(tmp_path / "disk", size="1m") as disk:
        path = disk.path / "checkpoint.pt"
        old.save(path)
        before = path.read_bytes()
        with pytest.raises(OSError, match=r"No space left on device \([0-9,]+ bytes free\)") as full:
            new.save(path)
        assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(path))
        assert [file.name for file in disk.path.iterdir()] == ["checkpoint.pt"]
        assert path.read_bytes() == before
        disk.remount("size=4m")
        new.save(path)
        assert Checkpoint.load(path).step == 2
