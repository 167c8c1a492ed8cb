"""What the measured rates mean for the whole run: hours, and what training waits for."""

from dataclasses import dataclass

from featurize.estimate import SECONDS_PER_HOUR
from pipeline.bench.rows import Row
from train.recipe import TrainRecipe


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Rows that follow from the measured ones. bottleneck: what training waits for; sentence: in words."""

    rows: list[Row]
    bottleneck: str
    sentence: str


def judge(recipe: TrainRecipe, *, update_seconds: float, batch_bytes: int, feed: Row) -> Verdict:
    """The full schedule, one update after the other; reading runs beside computing, so the slower counts.

    update_seconds: the predictor's, for a batch of `recipe.batch_clips`. batch_bytes: what an update reads.
    feed: the row of the reading that this store will see, cold where it is larger than memory.
    """
    assert feed.value is not None, "a rate that is judged by was measured"
    reading_seconds = batch_bytes / feed.value
    hours = recipe.steps * max(update_seconds, reading_seconds) / SECONDS_PER_HOUR
    needed = Row.measured(
        "read, needed by training",
        batch_bytes / update_seconds,
        "bytes/s",
        limit=feed,
        note=f"{batch_bytes:,} bytes an update / predictor, one update",
    )
    full = Row.measured(
        "training, full schedule",
        hours,
        "hours",
        note=f"{recipe.steps:,} updates x max(predictor, one update; its bytes / {feed.what})",
    )
    return _verdict([needed, full], update_seconds / reading_seconds, feed)


def _verdict(rows: list[Row], times: float, feed: Row) -> Verdict:
    """times: how often the stream could bring a batch while the predictor works on one."""
    if times >= 1:
        sentence = f"Training waits for: predictor step; the stream could feed {_factor(times)} times as much"
        return Verdict(rows=rows, bottleneck="predictor step", sentence=f"{sentence} ({feed.what}).")
    sentence = (
        f"Training waits for: {feed.what}; the predictor could take {_factor(1 / times)} times as much."
    )
    return Verdict(rows=rows, bottleneck=feed.what, sentence=sentence)


def _factor(times: float) -> str:
    return f"{times:,.0f}" if times >= 100 else f"{times:.3g}"
