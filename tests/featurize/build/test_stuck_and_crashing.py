"""Videos that crash native code or keep it for ever: each costs its episode, and the others are stored."""

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from featurize import frames, isolation
from featurize import index as index_step
from featurize.encode import encode
from featurize.finalise import finalise
from featurize.rejects import RejectReason
from store_schema.integrity import digest
from store_schema.tables import read_rejects

from .builds import build_at, build_store

BAD = "LAB+2+2023-07-07"
BAD_FOLDER = "episode-2"
READ_NULL = "__import__('ctypes').string_at(0)"
SLEEP_AND_HOLD_THE_INTERPRETER = "__import__('ctypes').PyDLL(None).sleep(1000)"
FAULTS = {
    "crashing": (READ_NULL, RejectReason.READER_CRASHED, ".mp4 ended its process with SIGSEGV, 2 times"),
    "stuck": (SLEEP_AND_HOLD_THE_INTERPRETER, RejectReason.READER_STUCK, ".mp4 was stopped after 1."),
}


class FailingInTheChild:
    """A function of a module, but that for the bad episode the child really runs other code."""

    def __init__(self, module, name, fault):
        self.code = (
            f"lambda *arguments: {fault} if {BAD_FOLDER!r} in str(arguments) "
            f"else __import__({module!r}, fromlist=['']).{name}(*arguments)"
        )

    def __call__(self, *_):
        raise AssertionError("called outside the child")

    def __reduce__(self):
        return eval, (self.code,)


@pytest.fixture(params=FAULTS)
def fault(request, monkeypatch):
    monkeypatch.setattr(isolation, "SECONDS_PER_FRAME", 0.01)
    return FAULTS[request.param]


def assert_only_the_bad_one_is_rejected(build, report, stage, reason, detail):
    (reject,) = read_rejects(build.store / "rejects.parquet")
    assert (reject.episode_id, reject.stage, reject.reason) == (BAD, stage, reason)
    assert detail in reject.detail
    assert (report.num_episodes, report.rejects) == (5, {reason: 1})


def test_a_bad_video_in_the_source_costs_its_episode(source, tmp_path, monkeypatch, fault):
    code, reason, detail = fault
    bad = FailingInTheChild("featurize.video.verify", "verify_decodes", code)
    monkeypatch.setattr(index_step, "verify_decodes", bad)
    build = build_at(tmp_path / "store.zarr", source).model_copy(update={"read_timeout_seconds": 1.0})
    report = build_store(build)
    assert_only_the_bad_one_is_rejected(build, report, "index", reason, detail)


def test_a_video_that_went_bad_since_costs_its_episode(make_prepared, encoder, monkeypatch, fault):
    code, reason, detail = fault
    bad = FailingInTheChild("featurize.video.shared", "decode_into", code)
    monkeypatch.setattr(frames, "decode_into", bad)
    build = make_prepared(read_timeout_seconds=1.0)
    encode(build, encoder)
    report = finalise(build)
    assert_only_the_bad_one_is_rejected(build, report, "encode", reason, detail)


def test_a_reader_that_is_killed_costs_nothing(make_prepared, encoder, finished):
    """As the kernel does when memory is short."""
    build, others = make_prepared(), descendants()
    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(encode, build, encoder)
        while not (started := descendants() - others):
            assert not encoding.done()
        started.pop().kill()
        encoding.result()
    finalise(build)
    assert read_rejects(build.store / "rejects.parquet") == ()
    assert digest(build.store) == digest(finished.store)


def descendants():
    return set(psutil.Process().children(recursive=True))
