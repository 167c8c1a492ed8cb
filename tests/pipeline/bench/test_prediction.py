"""What follows from the rates."""

import pytest

from pipeline.bench.prediction import judge
from pipeline.bench.rows import Row
from train.recipe_defaults import recipe_for

RECIPE = recipe_for("demo", steps=3600)
COLD = Row.measured("read cold", 100.0, "bytes/s")


def rows_of(verdict):
    return {row.what: row for row in verdict.rows}


def test_a_slow_predictor_is_what_training_waits_for():
    verdict = judge(RECIPE, update_seconds=14.0, batch_bytes=100, feed=COLD)
    assert verdict.bottleneck == "predictor step"
    assert verdict.sentence == (
        "Training waits for: predictor step; the stream could feed 14 times as much (read cold)."
    )
    # 3,600 updates of 14 s.
    assert rows_of(verdict)["training, full schedule"].value == 14.0


def test_a_slow_disk_is_what_training_waits_for():
    verdict = judge(RECIPE, update_seconds=0.5, batch_bytes=200, feed=COLD)
    assert verdict.bottleneck == "read cold"
    assert verdict.sentence == "Training waits for: read cold; the predictor could take 4 times as much."
    assert rows_of(verdict)["training, full schedule"].value == 2.0


@pytest.mark.parametrize(("update_seconds", "ratio"), [(14.0, 1 / 14), (0.5, 2.0)])
def test_what_training_needs_is_held_to_what_the_stream_gives(update_seconds, ratio):
    needed = rows_of(judge(RECIPE, update_seconds=update_seconds, batch_bytes=100, feed=COLD))
    row = needed["read, needed by training"]
    assert (row.value, row.limit) == (100 / update_seconds, "read cold")
    assert row.ratio == pytest.approx(ratio)
