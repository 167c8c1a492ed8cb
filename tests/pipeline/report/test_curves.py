import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pipeline.report.curves import MAX_COLUMNS, PhaseBand, condense, draw_held_out, draw_losses, phase_bands
from pipeline.report.read_run import LOSSES, TrainingCurves, Validation
from pipeline.report.theme import DARK, LIGHT
from train.schedule import PUBLISHED_SCHEDULE, WarmupConstantDecay

counts = st.integers(min_value=0, max_value=40)


def schedule_of(warmup_steps: int, constant_steps: int, decay_steps: int) -> WarmupConstantDecay:
    return WarmupConstantDecay(lr_start=0.1, lr_peak=1.0, lr_end=0.0, warmup_steps=warmup_steps,
                               constant_steps=constant_steps, decay_steps=decay_steps)  # fmt: skip


def test_the_published_schedule_has_its_three_bands():
    assert phase_bands(PUBLISHED_SCHEDULE) == [
        PhaseBand(phase="warm-up", start=0, stop=4_500),
        PhaseBand(phase="constant", start=4_500, stop=90_000),
        PhaseBand(phase="decay", start=90_000, stop=94_500),
    ]


@given(counts, counts, counts.map(lambda count: count + 1))
def test_every_update_lies_in_the_band_of_its_phase(warmup_steps, constant_steps, decay_steps):
    schedule = schedule_of(warmup_steps, constant_steps, decay_steps)
    covered = [(step, band.phase) for band in phase_bands(schedule) for step in range(band.start, band.stop)]
    assert covered == [(step, schedule.phase(step)) for step in range(schedule.total_steps)]


def test_a_band_is_named_with_its_updates_counted_from_one():
    assert [band.label for band in phase_bands(schedule_of(33, 2_000, 1))] == [
        "warm-up 1–33",
        "constant 34–2,033",
        "decay 2,034",
    ]


def test_a_short_curve_is_drawn_as_it_is():
    values = np.array([3.0, 1.0, 2.0])
    curve = condense(np.array([1, 2, 3]), values)
    assert curve.step_C.tolist() == [1, 2, 3]
    assert curve.mean_C.tolist() == curve.low_C.tolist() == curve.high_C.tolist() == values.tolist()


@pytest.mark.parametrize("num_steps", [MAX_COLUMNS + 1, 94_500])
def test_a_long_curve_keeps_its_mean_and_its_extremes(num_steps):
    values = np.random.default_rng(0).normal(size=num_steps)
    values[[7, -1]] = [50.0, -50.0]
    curve = condense(np.arange(1, num_steps + 1), values)
    assert len(curve.step_C) <= MAX_COLUMNS
    assert curve.high_C[7 // -(-num_steps // MAX_COLUMNS)] == 50.0
    assert curve.low_C[-1] == -50.0
    column_steps = -(-num_steps // MAX_COLUMNS)
    assert curve.mean_C[0] == pytest.approx(values[:column_steps].mean())
    assert curve.step_C[0] == (1 + column_steps) / 2


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_draws_both_losses_and_the_phases_by_name(theme):
    steps = np.arange(1, 101)
    curves = TrainingCurves(
        step_S=steps, losses=dict.fromkeys(LOSSES, 1.0 / steps), learning_rate_S=np.full(100, 1e-3)
    )
    figure = Figure(layout="constrained")
    draw_losses(figure, curves, schedule_of(5, 90, 5), theme)
    named = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert named == [list(LOSSES), ["warm-up 1–5", "constant 6–95", "decay 96–100"]]
    assert figure.axes[1].get_xlim() == (0, 100)


def test_held_out_errors_are_divided_by_those_of_copying():
    validations = [
        Validation(kind="validation", step=step, horizons=(1, 2), l1=(0.1, 0.3), num_starts=4,
                   baselines={"copy_last_frame": (0.2, 0.2)})
        for step in (10, 20)
    ]  # fmt: skip
    figure = Figure(layout="constrained")
    draw_held_out(figure, validations, schedule_of(0, 20, 0), LIGHT)
    _, one_ahead, two_ahead = figure.axes[0].get_lines()
    assert one_ahead.get_xydata().tolist() == [[10, 0.5], [20, 0.5]]
    assert two_ahead.get_ydata() == pytest.approx([1.5, 1.5])
