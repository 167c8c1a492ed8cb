"""The loop takes any source of batches with any named losses: here points, and a line through them."""

from contextlib import contextmanager

import torch

from train.loop import Loop
from train.metrics import open_log, read_metrics
from train.optimiser import build_adamw
from train.run_folder import RunFolder
from train.signals import StopRequest


class Numbers:
    """A source whose batch is a pair of tensors, and which never waits."""

    waited_seconds = 0.0

    @contextmanager
    def stream(self, first_step: int):
        self.position = first_step
        yield self

    def __iter__(self):
        return self

    def __next__(self):
        self.position += 1
        x = torch.linspace(-1, 1, 8).unsqueeze(1) * self.position
        return x, 3 * x


def loop_over(tiny_recipe, log, saved, validated) -> Loop:
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)

    def losses_of(batch):
        x, y = batch
        slope_loss, size_loss = (model(x) - y).abs().mean(), 0.0 * model.weight.square().mean()
        return {"loss": slope_loss + size_loss, "slope_loss": slope_loss, "size_loss": size_loss}

    return Loop(
        recipe=tiny_recipe(lr_peak=0.1, weight_decay=0.0),
        model=model,
        optimiser=build_adamw(model, 0.0),
        source=Numbers(),
        losses_of=losses_of,
        log=log,
        validate=validated.append,
        save=saved.append,
        on_progress=lambda _progress: None,
    )


def test_the_loop_trains_what_it_knows_nothing_about(tiny_recipe, tmp_path):
    saved, validated = [], []
    with open_log(RunFolder(tmp_path), 0) as log:
        loop = loop_over(tiny_recipe, log, saved, validated)
        assert loop.run(0, StopRequest()) == 6
    assert (saved, validated) == ([2, 4, 6], [3, 6])
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert lines[0].keys() >= {"loss", "slope_loss", "size_loss", "gradient_norm"}
    assert loop.model.weight.item() > 0.3


def test_a_stop_request_is_obeyed_before_the_next_update(tiny_recipe, tmp_path):
    saved, validated = [], []
    with open_log(RunFolder(tmp_path), 0) as log:
        assert loop_over(tiny_recipe, log, saved, validated).run(3, StopRequest(requested=True)) == 3
    assert (saved, validated) == ([], [])


def test_a_resumed_loop_first_does_the_validation_that_its_checkpoint_precedes(tiny_recipe, tmp_path):
    saved, validated = [], []
    with open_log(RunFolder(tmp_path), 0) as log:
        loop_over(tiny_recipe, log, saved, validated).run(3, StopRequest())
    assert (saved, validated) == ([4, 6], [3, 6])
