"""Frames decoded in a child process: the same pixels, in memory that is given back."""

import gc
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from featurize.isolation import ForeignReader
from featurize.video.container import VideoUnreadableError
from featurize.video.decode import decode_frames
from featurize.video.shared import HAS_MEMFD, decode_into, shared_frames

from ..conftest import VIDEO_KINDS, VIDEO_SIZE

INDICES = np.array([7, 0, 59, 31, 7])
SHAPE = (len(INDICES), *VIDEO_SIZE, 3)
WHOLE = (slice(None), slice(None))


@pytest.fixture(scope="module")
def reader():
    with ForeignReader(num_processes=1, timeout_seconds=60) as reader:
        yield reader


def into(shared, video, indices, decoder, *, frame_size=VIDEO_SIZE, box=WHOLE):
    return partial(decode_into, shared.path, shared.shape, video, indices, decoder, frame_size, box)


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_a_child_decodes_the_same_pixels(videos, reader, kind):
    decoder = VIDEO_KINDS[kind].decoder
    with shared_frames(SHAPE) as shared:
        assert not shared.frames_FHWC.any()
        reader.run(into(shared, videos[kind], INDICES, decoder), "decoding")
    expected = decode_frames(videos[kind], INDICES, decoder)
    assert expected.any()
    np.testing.assert_array_equal(shared.frames_FHWC, expected)


def test_frames_of_another_size_are_an_error(videos, reader):
    video = videos["h264-closed-gop"]
    expected = r"closed-gop\.mp4 should decode to frames of 64 x 48 pixels, got 128 x 96\."
    with shared_frames((1, 48, 64, 3)) as shared, pytest.raises(VideoUnreadableError, match=expected):
        reader.run(into(shared, video, np.array([0]), "pyav", frame_size=(48, 64)), "decoding")


def test_only_the_box_is_handed_over(videos, reader):
    video, box = videos["h264-closed-gop"], (slice(10, 40), slice(7, 100))
    with shared_frames((len(INDICES), 30, 93, 3)) as shared:
        reader.run(into(shared, video, INDICES, "decord", box=box), "decoding")
    np.testing.assert_array_equal(shared.frames_FHWC, decode_frames(video, INDICES, "decord")[:, *box])


@pytest.mark.skipif(not HAS_MEMFD, reason="the name shows only on Linux")
def test_the_memory_is_given_back_when_nothing_refers_to_it():
    gc.collect()  # what exceptions of earlier tests refer to
    before = num_mapped_and_open()
    with shared_frames(SHAPE) as shared:
        assert num_mapped_and_open() > before
    del shared
    # Those of earlier tests may go at any time.
    assert num_mapped_and_open() <= before


def num_mapped_and_open():
    maps = Path("/proc/self/maps").read_text()
    opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return f"{maps} {opened}".count("permafrost-frames")
