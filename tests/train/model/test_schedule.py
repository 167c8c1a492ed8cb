from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.schedule import PUBLISHED_SCHEDULE, ScheduleError, WarmupConstantDecay


@pytest.mark.parametrize("total_steps", [94_500, 700])
def test_learning_rates_equal_the_reference(golden_json, total_steps):
    schedule = PUBLISHED_SCHEDULE.scaled(total_steps)
    for step, expected in golden_json("learning_rates.json")[str(total_steps)].items():
        assert schedule.learning_rate(int(step)) == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_the_published_run_has_its_three_phases():
    phases = [PUBLISHED_SCHEDULE.phase(step) for step in (0, 4_499, 4_500, 89_999, 90_000, 94_499)]
    assert phases == ["warm-up", "warm-up", "constant", "constant", "decay", "decay"]
    assert PUBLISHED_SCHEDULE.total_steps == 94_500


def test_the_ends_of_the_phases_are_exact():
    assert PUBLISHED_SCHEDULE.learning_rate(4_499) == 4.25e-4
    assert PUBLISHED_SCHEDULE.learning_rate(89_999) == 4.25e-4
    assert PUBLISHED_SCHEDULE.learning_rate(94_499) == 0.0


@given(
    phases=st.tuples(*[st.integers(0, 1_000)] * 3).filter(any),
    total_steps=st.integers(1, 5_000),
)
def test_a_scaled_schedule_has_the_length_asked_for_and_whole_phases(phases, total_steps):
    warmup, constant, decay = phases
    schedule = replace(PUBLISHED_SCHEDULE, warmup_steps=warmup, constant_steps=constant, decay_steps=decay)
    scaled = schedule.scaled(total_steps)
    assert scaled.total_steps == total_steps
    for part, whole in ((scaled.warmup_steps, warmup), (scaled.decay_steps, decay)):
        assert abs(part - total_steps * whole / schedule.total_steps) <= 1


@given(total_steps=st.integers(1, 300))
def test_the_rate_rises_stays_and_falls(total_steps):
    schedule = PUBLISHED_SCHEDULE.scaled(total_steps)
    rates = [schedule.learning_rate(step) for step in range(total_steps)]
    top = max(rates)
    first, last = rates.index(top), total_steps - 1 - rates[::-1].index(top)
    assert rates[: first + 1] == sorted(rates[: first + 1])
    assert set(rates[first : last + 1]) == {top}
    assert rates[last:] == sorted(rates[last:], reverse=True)
    assert top == schedule.lr_peak


@pytest.mark.parametrize("step", [-1, 700])
def test_rejects_a_step_outside_the_run(step):
    with pytest.raises(ScheduleError, match=f"Step {step} lies outside this schedule of 700 steps"):
        PUBLISHED_SCHEDULE.scaled(700).learning_rate(step)


def test_rejects_a_run_without_steps():
    with pytest.raises(ScheduleError, match="are all 0; a run needs a step"):
        PUBLISHED_SCHEDULE.scaled(0)


@pytest.mark.parametrize("name", ["lr_start", "lr_end", "warmup_steps"])
def test_rejects_negative_values(name):
    values = {"lr_start": 0.1, "lr_peak": 0.1, "lr_end": 0.1}
    values |= {"warmup_steps": 1, "constant_steps": 1, "decay_steps": 1, name: -1}
    with pytest.raises(ScheduleError, match=f"{name} is -1; it must not be negative"):
        WarmupConstantDecay(**values)
