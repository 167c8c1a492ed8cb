"""A source that goes away while slots are encoded: its episodes are not to blame, and nothing is settled."""

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from featurize.calibrate import calibrate
from featurize.encode import encode, pending_slots
from featurize.errors import SourceMovedError, SourceUnreadableError
from featurize.finalise import finalise
from featurize.index import index
from featurize.rejects import RejectReason
from featurize.slot_job import SlotJob
from store_schema.integrity import digest
from store_schema.store import Store
from store_schema.verify import verify_hashes

from .builds import build_at, folder_of, planned

GONE = r"No episode that was indexed lies under .*/source\. Point --source at the folder that was indexed"


@pytest.fixture
def own_source(source, tmp_path):
    return Path(shutil.copytree(source, tmp_path / "source"))


@pytest.fixture
def before_decoding(monkeypatch):
    """Let something happen in the middle: just before a slot is decoded."""

    def happen(slot_of_it, event):
        decode = SlotJob.decode

        def decode_after_it(job, slot):
            if slot == slot_of_it:
                event()
            return decode(job, slot)

        monkeypatch.setattr(SlotJob, "decode", decode_after_it)

    return happen


def statuses(store):
    return {slot: row.status for slot, row in Store.open(store).ledger.items()}


def test_a_source_that_goes_in_the_middle_settles_nothing_and_the_same_build_goes_on_when_it_is_back(
    make_prepared, own_source, encoder, finished, before_decoding, monkeypatch
):
    build = make_prepared(source_root=own_source)
    away = own_source.with_name("away")
    before_decoding(5, lambda: own_source.rename(away))
    with pytest.raises(SourceMovedError, match=GONE):
        encode(build, encoder)
    monkeypatch.undo()
    assert 1 <= len(statuses(build.store)) < 7
    assert set(statuses(build.store).values()) == {"written"}
    assert list(verify_hashes(build.store)) == []
    away.rename(own_source)
    encode(build, encoder)
    finalise(build)
    assert digest(build.store) == digest(finished.store)


def test_a_single_episode_that_goes_is_rejected(make_prepared, own_source, encoder, before_decoding):
    build = make_prepared(source_root=own_source)
    before_decoding(6, lambda: shutil.rmtree(folder_of(own_source, "LAB+5+2023-07-07").path))
    encode(build, encoder)
    assert pending_slots(build) == []
    (rejected,) = (row for row in Store.open(build.store).ledger.values() if row.status == "rejected")
    assert (rejected.episode_id, rejected.reason) == ("LAB+5+2023-07-07", RejectReason.FOLDER_UNREADABLE)


def test_calibration_stops_when_the_source_goes_in_the_middle(own_source, tmp_path, encoder, monkeypatch):
    """Statistics of the episodes that came before would be another store's, and nobody would see it."""
    build = planned(build_at(tmp_path / "store.zarr", own_source), encoder)
    encode_batch = encoder.encode

    def go_away(pixels):
        if own_source.is_dir():
            own_source.rename(own_source.with_name("away"))
        return encode_batch(pixels)

    monkeypatch.setattr(encoder, "encode", go_away)
    with pytest.raises(SourceMovedError, match=GONE):
        calibrate(build, encoder)
    assert Store.open(build.store).attributes.fingerprint.channel_statistics_sha256 is None


def test_index_stops_when_the_source_goes_in_the_middle(own_source, tmp_path):
    build = build_at(tmp_path / "store.zarr", own_source, max_rejects=1.0)

    def go_away(_done, _total):
        if own_source.is_dir():
            own_source.rename(own_source.with_name("away"))

    with pytest.raises(SourceMovedError, match=GONE):
        index(build, go_away)
    assert not (build.folder / "episodes.parquet").exists()


def test_an_io_error_of_the_disk_is_not_the_episodes_fault(make_prepared, own_source, encoder, finished):
    """The kernel answers EIO to whoever reads the first page of a process's memory."""
    build = make_prepared(source_root=own_source)
    rows_file = folder_of(own_source, "LAB+5+2023-07-07").rows
    with unreadable(rows_file):
        with pytest.raises(SourceUnreadableError, match=r"trajectory\.h5 cannot be read: Input/output"):
            encode(build, encoder)
        assert "rejected" not in statuses(build.store).values()
    encode(build, encoder)
    finalise(build)
    assert digest(build.store) == digest(finished.store)


@contextmanager
def unreadable(target):
    """The disk fails under the file `target` for a block; skips the test where that cannot be staged."""
    mount = ["mount", "--bind", f"/proc/{os.getpid()}/mem", target]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no bind mount is allowed here, which takes root: {done.stderr}")
    try:
        with pytest.raises(OSError) as failed:  # noqa: PT011 - the number says which
            target.read_bytes()
        assert failed.value.errno == errno.EIO
        yield
    finally:
        subprocess.run(["umount", target], check=True)
