"""Clocks of the recording: 15 Hz rows, cameras that run freely at 60 Hz."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from featurize.demo_data.timing import draw_camera_clock, draw_row_seconds


def test_written_capture_times_rise_at_15_hz_with_jitter(episodes: list[Any]) -> None:
    for episode in episodes:
        for serial in episode.serials.values():
            capture_ms = episode.rows(f"observation/timestamp/cameras/{serial}_estimated_capture")
            steps_ms = np.diff(capture_ms)
            assert steps_ms.min() > 0
            assert 1000 / steps_ms.mean() == np.clip(1000 / steps_ms.mean(), 14.5, 15.0)
            assert 3 < steps_ms.std() < 15


def test_capture_comes_before_arrival_before_the_end_of_reading(episodes: list[Any]) -> None:
    for episode in episodes:
        for serial in episode.serials.values():
            names = ("estimated_capture", "read_start", "frame_received", "read_end")
            times = [episode.rows(f"observation/timestamp/cameras/{serial}_{name}") for name in names]
            assert (np.diff(times, axis=0) >= 0).all()


def test_robot_time_in_seconds_and_nanoseconds_is_the_time_of_reading(episodes: list[Any]) -> None:
    for episode in episodes:
        group = "observation/timestamp/robot_state"
        nanos = episode.rows(f"{group}/robot_timestamp_seconds") * 10**9
        nanos += episode.rows(f"{group}/robot_timestamp_nanos")
        np.testing.assert_allclose(nanos / 1e6, episode.rows(f"{group}/read_start"), atol=0.6)


def test_each_control_step_ends_where_the_next_begins(episodes: list[Any]) -> None:
    for episode in episodes:
        start, end = (episode.rows(f"observation/timestamp/control/step_{edge}") for edge in ("start", "end"))
        np.testing.assert_array_equal(end[:-1], start[1:])


@given(seed=st.integers(0, 2**32), num_rows=st.integers(2, 200))
def test_a_camera_delivers_its_next_frame_within_a_60th_of_a_second(seed: int, num_rows: int) -> None:
    rng = np.random.default_rng(seed)
    clock = draw_camera_clock(rng, draw_row_seconds(rng, num_rows), start_ms=10**12)
    waited_ms = clock.frame_received - clock.read_start
    assert waited_ms.min() >= 0
    assert waited_ms.max() <= 18
    assert np.diff(clock.estimated_capture).min() > 40
    frames = np.diff(clock.frame_received) * 60 / 1000
    np.testing.assert_allclose(frames, np.rint(frames), atol=0.1)
