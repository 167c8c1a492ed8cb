import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pipeline.report.film import CLOCK_PX, CLOCK_RGB, GAP_PX, LAST_FRAME_SHOWN, SIDE_PX, Film, film_frames
from pipeline.report.strip import difference_colours

WEBP = "data:image/webp;base64,"


def opened(address: str) -> Image.Image:
    assert address.startswith(WEBP)
    return Image.open(io.BytesIO(base64.b64decode(address.removeprefix(WEBP))))


def panes_of(frame: np.ndarray) -> list[np.ndarray]:
    lefts = [number * (SIDE_PX + GAP_PX) for number in range(4)]
    return [frame[:SIDE_PX, left : left + SIDE_PX, :3] for left in lefts]


def tokens_of(pane: np.ndarray, height: int, width: int) -> np.ndarray:
    """The colour in the middle of each token."""
    rows = ((np.arange(height) + 0.5) * SIDE_PX / height).astype(int)
    columns = ((np.arange(width) + 0.5) * SIDE_PX / width).astype(int)
    return pane[np.ix_(rows, columns)]


def test_every_frame_shows_what_was_seen_encoded_predicted_and_its_error(strip):
    for window in strip.windows:
        frames = film_frames(strip, window)
        assert len(frames) == len(window.thumbnails)
        height, width = window.error.shape[1:]
        for number, frame in enumerate(frames[1:], start=1):
            seen, *others = panes_of(frame)
            assert (seen == window.thumbnails[number, 0, 0]).all()
            encoded, predicted, error = (tokens_of(pane, height, width) for pane in others)
            assert (encoded == window.encoded[number]).all()
            assert (predicted == window.predicted[number - 1]).all()
            assert (error == difference_colours(window.error[number - 1] / strip.error_limit)).all()


def test_the_given_frame_is_its_own_prediction_without_error(strip):
    window = strip.windows[0]
    _, encoded, predicted, error = panes_of(film_frames(strip, window)[0])
    assert (encoded == predicted).all()
    assert (error == difference_colours(np.zeros(1))).all()


def test_a_bar_tells_the_time(strip):
    bars = [
        (frame[-CLOCK_PX:, :, 3] > 0).all(axis=0).mean() for frame in film_frames(strip, strip.windows[0])
    ]
    assert bars == pytest.approx(np.arange(1, 10) / 9, abs=0.01)
    last = film_frames(strip, strip.windows[0])[-1]
    assert (last[-CLOCK_PX:, :, :3] == CLOCK_RGB).all()


def test_the_film_loses_nothing_and_plays_at_the_speed_of_the_recording(strip):
    window = strip.windows[0]
    film = Film.of(strip, window)
    frames = film_frames(strip, window)
    with opened(film.moving) as moving:
        assert moving.n_frames == len(frames)
        assert moving.info["loop"] == 0
        durations = []
        for played, frame in zip(ImageSequence.Iterator(moving), frames, strict=True):
            shown = np.asarray(played.convert("RGBA"))
            seen = frame[..., 3] > 0
            assert (shown[..., 3] == frame[..., 3]).all()
            assert (shown[seen] == frame[seen]).all()
            durations.append(played.info["duration"])
    assert durations == [250] * 8 + [LAST_FRAME_SHOWN * 250]


def test_who_wants_nothing_to_move_sees_the_last_frame(strip):
    window = strip.windows[0]
    with opened(Film.of(strip, window).still) as still:
        assert getattr(still, "n_frames", 1) == 1
        assert (np.asarray(still.convert("RGB")) == film_frames(strip, window)[-1][..., :3]).all()


def test_predictions_without_any_error_can_be_filmed(strip):
    still = replace(strip.windows[0], error=np.zeros((8, 2, 2)))
    (*_, error) = panes_of(film_frames(replace(strip, error_limit=0.0), still)[-1])
    assert (error == difference_colours(np.zeros(1))).all()
