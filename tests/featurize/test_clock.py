"""Legend: R source rows, F frames on the grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.clock import MIN_CLIP_FRAMES, Clock, guaranteed_frames, source_rows
from featurize.sources.timestamps import check_capture_times

PERIOD_SECONDS = 0.25
phases = st.floats(0, 1, exclude_max=True)
steps_milliseconds = st.lists(st.integers(1, 250), min_size=1, max_size=200)


def physical_rows(capture_seconds_R, phase):
    return source_rows(
        Clock.PHYSICAL,
        num_rows=len(capture_seconds_R),
        capture_seconds_R=capture_seconds_R,
        nominal_hz=60,
        phase=phase,
    )


def nominal_rows(num_rows, nominal_hz, phase):
    return source_rows(
        Clock.MP4_NOMINAL, num_rows=num_rows, capture_seconds_R=None, nominal_hz=nominal_hz, phase=phase
    )


def seconds_from(steps):
    return np.cumsum([0, *steps]) / 1000


def rows_at_15_hz(num_rows):
    return np.rint(np.arange(num_rows) / 15 * 1000) / 1000


def test_the_example_of_the_docstring_is_true():
    assert physical_rows(rows_at_15_hz(16), phase=0).tolist() == [0, 4, 7, 11, 15]
    assert nominal_rows(31, nominal_hz=60, phase=0).tolist() == [0, 15, 30]


def test_a_phase_shifts_the_physical_grid_by_its_share_of_a_quarter_second():
    assert physical_rows(rows_at_15_hz(16), phase=0.6).tolist() == [2, 6, 10, 13]  # 0.15, 0.4, 0.65, 0.9 s


def test_a_phase_shifts_the_nominal_grid_by_its_share_of_a_step():
    assert nominal_rows(31, nominal_hz=60, phase=0.4).tolist() == [6, 21]


def test_the_physical_clock_follows_the_time_stamps_and_not_the_row_numbers():
    capture_seconds_R = seconds_from([50] * 5 + [240] * 4)
    assert physical_rows(capture_seconds_R, phase=0).tolist() == [0, 5, 6, 7, 8]


@pytest.mark.parametrize(("nominal_hz", "step"), [(60, 15), (59.94, 15), (30, 8), (15, 4), (4, 1), (3, 1)])
def test_the_nominal_step_is_the_public_loaders(nominal_hz, step):
    assert np.diff(nominal_rows(100, nominal_hz, phase=0)).tolist() == [step] * ((100 - 1) // step)


@given(steps_milliseconds, phases)
def test_physical_rows_are_the_nearest_ones_and_increase(steps, phase):
    capture_seconds_R = seconds_from(steps)
    check_capture_times(capture_seconds_R, Clock.PHYSICAL, "camera")
    rows_F = physical_rows(capture_seconds_R, phase)
    grid_seconds_F = phase * PERIOD_SECONDS + PERIOD_SECONDS * np.arange(len(rows_F))
    distance_FR = np.abs(grid_seconds_F[:, None] - capture_seconds_R)
    assert (np.diff(rows_F) > 0).all()
    assert np.allclose(distance_FR[np.arange(len(rows_F)), rows_F], distance_FR.min(axis=1), atol=2e-9)


@given(steps_milliseconds, phases)
def test_the_physical_grid_covers_the_episode_and_ends_with_it(steps, phase):
    capture_seconds_R = seconds_from(steps)
    last_grid_seconds = (phase + len(physical_rows(capture_seconds_R, phase)) - 1) * PERIOD_SECONDS
    assert last_grid_seconds <= capture_seconds_R[-1] + 1e-9
    assert last_grid_seconds > capture_seconds_R[-1] - PERIOD_SECONDS - 1e-9


@given(st.integers(60, 400), phases)
def test_physical_steps_last_about_a_quarter_second(num_rows, phase):
    capture_seconds_R = rows_at_15_hz(num_rows)
    step_seconds = np.diff(capture_seconds_R[physical_rows(capture_seconds_R, phase)])
    assert np.abs(step_seconds - PERIOD_SECONDS).max() < 1 / 15


@given(steps_milliseconds, phases)
def test_rows_do_not_depend_on_when_the_episode_began(steps, phase):
    capture_seconds_R = seconds_from(steps)
    later_R = (np.cumsum([0, *steps]) + 4096_000) / 1000
    assert (physical_rows(capture_seconds_R, phase) == physical_rows(later_R, phase)).all()


@given(st.integers(1, 500), st.floats(1, 120), phases)
def test_nominal_rows_stay_within_the_episode(num_rows, nominal_hz, phase):
    rows_F = nominal_rows(num_rows, nominal_hz, phase)
    assert ((rows_F >= 0) & (rows_F < num_rows)).all()


@given(steps_milliseconds, phases, st.floats(1, 120), st.sampled_from(Clock))
def test_no_phase_gives_fewer_frames_than_guaranteed(steps, phase, nominal_hz, clock):
    times = {
        "num_rows": len(steps) + 1,
        "capture_seconds_R": seconds_from(steps),
        "nominal_hz": nominal_hz,
    }
    assert len(source_rows(clock, phase=phase, **times)) >= guaranteed_frames(clock, **times)


@pytest.mark.parametrize(("last_millisecond", "num_frames"), [(3999, 15), (4000, 16)])
def test_one_clip_takes_four_seconds_on_the_physical_clock(last_millisecond, num_frames):
    capture_seconds_R = np.linspace(0, last_millisecond / 1000, 61)
    guaranteed = guaranteed_frames(
        Clock.PHYSICAL, num_rows=61, capture_seconds_R=capture_seconds_R, nominal_hz=60
    )
    assert guaranteed == num_frames
    assert len(physical_rows(capture_seconds_R, phase=0.9999)) == num_frames


@pytest.mark.parametrize(("num_rows", "num_frames"), [(239, 15), (240, 16)])
def test_one_clip_takes_sixteen_steps_of_rows_on_the_nominal_clock(num_rows, num_frames):
    guaranteed = guaranteed_frames(
        Clock.MP4_NOMINAL, num_rows=num_rows, capture_seconds_R=None, nominal_hz=60
    )
    assert guaranteed == num_frames
    assert len(nominal_rows(num_rows, nominal_hz=60, phase=0.9999)) == num_frames


def test_a_clip_has_sixteen_frames():
    assert MIN_CLIP_FRAMES == 16
