"""A few updates of the real loop."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from pipeline.bench.predictor_step import PredictorStep
from pipeline.bench.training_loop import data_wait_row
from store_schema.store import Store
from train.recipe_defaults import recipe_for
from train.view import View

CPU = torch.device("cpu")
RECIPE = recipe_for("demo", steps=50, clip_frames=4)


def step_of(num_clips):
    return PredictorStep(rows=[], update_seconds=1.0, num_clips=num_clips)


class Delayed:
    """Says that it waited for an hour before some of its batches."""

    def __init__(self, stream, hours):
        self.stream, self.hours, self.waited_seconds = stream, iter(hours), 0.0

    def __iter__(self):
        return self

    def __next__(self):
        self.waited_seconds += 3600.0 * next(self.hours, 0)
        return next(self.stream)


class DelayedClips:
    def __init__(self, clips, hours):
        self.clips, self.hours = clips, hours

    @contextmanager
    def stream(self, first_frames, *, clip_frames, max_clips):
        with self.clips.stream(first_frames, clip_frames=clip_frames, max_clips=max_clips) as stream:
            yield Delayed(stream, self.hours)


def wait_share(store, hours):
    view = View.of_store(Store.open(store), CPU)
    delayed = replace(view, clips=DelayedClips(view.clips, hours))
    return data_wait_row(RECIPE, delayed, CPU, seconds=0.0, step=step_of(2))


def test_the_first_update_is_not_counted(tiny_store):
    row = wait_share(tiny_store, hours=[1, 0])
    assert (row.value, row.unit) == (0.0, "share")


def test_waiting_in_later_updates_is(tiny_store):
    assert wait_share(tiny_store, hours=[0, 1]).value > 1


def test_updates_go_on_until_the_time_is_over_or_the_run(tiny_store):
    view = View.of_store(Store.open(tiny_store), CPU)
    one = data_wait_row(RECIPE, view, CPU, seconds=0.0, step=step_of(2))
    assert one.note.startswith("1 update of 2 clips")
    short = recipe_for("demo", steps=3, clip_frames=4)
    assert data_wait_row(short, view, CPU, seconds=1e6, step=step_of(1)).note.startswith(
        "2 updates of 1 clip;"
    )
