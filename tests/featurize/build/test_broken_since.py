"""Episodes that break after they were indexed: their slots are settled, and everything else is there."""

import shutil

import numpy as np
import pytest
import torch

from featurize.calibrate import calibrate
from featurize.encode import encode, pending_slots
from featurize.errors import NotEnoughEpisodesError, SourceMovedError, TooManyRejectsError
from featurize.finalise import finalise
from featurize.rejects import RejectReason
from store_schema.store import Store
from store_schema.tables import read_rejects

from ..droid_files import capture_key
from .builds import build_at, folder_of, frame_arrays, planned

LONG = "LAB+3+2023-07-07"


@pytest.fixture
def own_source(source, tmp_path):
    return shutil.copytree(source, tmp_path / "source")


def truncate(folder):
    folder.video.write_bytes(folder.video.read_bytes()[:-2000])


def delay(folder):
    folder.edit_rows(capture_key(), lambda times: np.add(times[9:], 10, out=times[9:]))


def stretch(folder):
    """So slow that the last grid rows of the plan would lie beyond the end."""
    folder.edit_rows(capture_key(), lambda times: np.subtract(times, np.arange(len(times)) * 20, out=times))


BREAKS = {
    "video truncated": (truncate, RejectReason.VIDEO_UNREADABLE, "23404442.mp4"),
    "folder deleted": (
        lambda folder: shutil.rmtree(folder.path),
        RejectReason.FOLDER_UNREADABLE,
        "cannot be listed",
    ),
    "capture times moved": (delay, RejectReason.CHANGED_SINCE_INDEX, "differ from what the plan used"),
    "recorded faster": (stretch, RejectReason.CHANGED_SINCE_INDEX, "differ from what the plan used"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_an_episode_that_breaks_is_settled_as_rejected_and_the_rest_is_there(
    make_prepared, own_source, encoder, finished, kind
):
    break_it, reason, detail = BREAKS[kind]
    build = make_prepared(source_root=own_source)
    break_it(folder_of(own_source, LONG))
    assert encode(build, encoder) == 7
    store = Store.open(build.store)
    (broken,) = (t for t in store.planned_trajectories if t.episode_id == LONG)
    assert {slot for slot, row in store.ledger.items() if row.status == "rejected"} == set(broken.slots)
    assert set(store.trajectories) == set(store.planned_trajectories) - {broken}
    assert pending_slots(build) == []
    report = finalise(build)
    (reject,) = read_rejects(build.store / "rejects.parquet")
    assert (reject.episode_id, reject.stage, reject.reason) == (LONG, "encode", reason)
    assert detail in reject.detail
    assert (report.num_episodes, report.rejects) == (5, {reason: 1})
    whole, left = frame_arrays(finished.store), frame_arrays(build.store)
    for trajectory in store.trajectories:
        frames = slice(trajectory.first_frame, trajectory.first_frame + trajectory.num_frames)
        for name in whole:
            assert whole[name][frames].tobytes() == left[name][frames].tobytes()


def test_latents_that_are_not_finite_reject_their_episode(make_prepared, encoder, monkeypatch):
    """Slot 1 is the held-out episode's."""
    build = make_prepared()
    latents = torch.full((1, *encoder_shape(encoder)), torch.nan)
    monkeypatch.setattr(encoder, "encode", lambda frames: latents.expand(len(frames), -1, -1))
    encode(build, encoder, [1])
    row = Store.open(build.store).ledger[1]
    assert (row.status, row.reason) == ("rejected", RejectReason.LATENTS_NOT_FINITE)
    assert "NaN or infinite" in row.detail


def encoder_shape(encoder):
    return (encoder.spec.num_tokens, encoder.spec.width)


def test_a_source_that_is_not_there_settles_nothing(make_prepared, encoder, tmp_path):
    """A disk that is not mounted, or a slip in --source, must not reject every episode for good."""
    build = make_prepared(source_root=tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SourceMovedError,
        match=r"No episode that was indexed lies under .*/empty\. Point --source at the folder",
    ):
        encode(build, encoder)
    assert Store.open(build.store).ledger == {}


def test_finalise_fails_when_encode_rejected_too_many_and_goes_on_with_a_higher_share(
    make_prepared, own_source, encoder
):
    build = make_prepared(source_root=own_source)
    for number in (2, 3):
        truncate(folder_of(own_source, f"LAB+{number}+2023-07-07"))
    encode(build, encoder)
    with pytest.raises(
        TooManyRejectsError,
        match=r"2 of 6 episodes were rejected; --max-rejects allows a share of 0\.2\. "
        r"By reason: \{'video_unreadable': 2\}; each is listed in rejects\.parquet of the store\.",
    ):
        finalise(build)
    assert not Store.open(build.store).attributes.sealed
    report = finalise(build.model_copy(update={"max_rejects": 0.5}))
    assert report.num_episodes == 4
    assert Store.open(build.store).attributes.sealed


def test_calibration_leaves_out_what_cannot_be_decoded_and_says_so(own_source, tmp_path, encoder, caplog):
    build = planned(build_at(tmp_path / "store.zarr", own_source), encoder)
    truncate(folder_of(own_source, LONG))
    assert calibrate(build, encoder) is not None
    assert f"Left out of the calibration: Episode {LONG}" in caplog.text


def test_calibration_needs_one_training_episode_that_decodes(own_source, tmp_path, encoder):
    build = build_at(tmp_path / "store.zarr", own_source)
    planned(build, encoder)
    for number in (0, 2, 3, 4, 5):
        truncate(folder_of(own_source, f"LAB+{number}+2023-07-07"))
    with pytest.raises(NotEnoughEpisodesError, match="No training trajectory could be decoded"):
        calibrate(build, encoder)
