import pickle

import pytest

from featurize.rejects import EpisodeRejected, RejectReason, UnusableError, rejecting
from featurize.video.container import VideoUnreadableError


def test_a_fault_becomes_a_reject_of_the_episode_and_the_stage():
    with pytest.raises(EpisodeRejected) as caught, rejecting("IRIS+1", "encode"):
        raise UnusableError(RejectReason.TOO_SHORT, "expected 16 frames, got 3.")
    rejected = caught.value
    assert (rejected.episode_id, rejected.stage, rejected.reason) == (
        "IRIS+1",
        "encode",
        RejectReason.TOO_SHORT,
    )
    assert rejected.detail == "expected 16 frames, got 3."


def test_a_reject_says_everything_in_one_sentence():
    rejected = EpisodeRejected("IRIS+1", "index", RejectReason.TOO_SHORT, "expected 16 frames, got 3.")
    assert str(rejected) == "Episode IRIS+1: expected 16 frames, got 3."


def test_the_outermost_stage_counts():
    with pytest.raises(EpisodeRejected) as caught, rejecting("IRIS+1", "encode"):
        raise EpisodeRejected("IRIS+1", "index", RejectReason.TOO_SHORT, "expected 16 frames, got 3.")
    assert (caught.value.stage, caught.value.reason) == ("encode", RejectReason.TOO_SHORT)


def test_other_exceptions_are_no_rejects():
    with pytest.raises(ZeroDivisionError), rejecting("IRIS+1", "index"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [
        EpisodeRejected("IRIS+1", "index", RejectReason.TOO_SHORT, "expected 16 frames, got 3."),
        UnusableError(RejectReason.NO_METADATA, "expected one, got none."),
        VideoUnreadableError("1.mp4 holds no frame."),
    ],
)
def test_every_fault_survives_the_way_back_from_a_worker(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
