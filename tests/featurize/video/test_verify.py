import numpy as np
import pytest

from featurize.video.container import VideoUnreadableError
from featurize.video.decode import decode_frames
from featurize.video.probe import probe
from featurize.video.verify import verify_decodes

from ..conftest import VIDEO_FRAMES, VIDEO_KINDS
from ..droid_files import write_video

NUM_FRAMES = 24


@pytest.fixture
def damaged_video(tmp_path):
    """A file whose packets are all there; 40 bytes in the middle of one are noise."""
    path = write_video(tmp_path / "damaged.mp4", num_frames=NUM_FRAMES, size=(180, 320))
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 2000
    data[middle : middle + 40] = np.random.default_rng(0).bytes(40)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_finds_nothing_wrong_with_whole_videos_of_every_kind(videos, kind):
    verify_decodes(videos[kind], VIDEO_FRAMES)


def test_finds_damage_inside_a_packet(damaged_video):
    with pytest.raises(VideoUnreadableError, match=r"damaged.mp4 is damaged at frame \d+\."):
        verify_decodes(damaged_video, NUM_FRAMES)


def test_neither_probe_nor_decord_notice_that_damage(damaged_video):
    """The reason for `verify_decodes`: without it noise would be stored as if it had been seen."""
    facts = probe(damaged_video)
    assert (facts.num_frames, facts.decoder) == (NUM_FRAMES, "decord")
    assert len(decode_frames(damaged_video, range(NUM_FRAMES), "decord")) == NUM_FRAMES


def test_pyav_does_not_hand_out_a_damaged_frame(damaged_video):
    with pytest.raises(VideoUnreadableError, match=r"damaged.mp4 is damaged at frame \d+\."):
        decode_frames(damaged_video, [NUM_FRAMES - 1], "pyav")


def test_finds_frames_that_do_not_come_out(videos):
    with pytest.raises(VideoUnreadableError, match=r"closed-gop.mp4 should decode to 61 frames, got 60"):
        verify_decodes(videos["h264-closed-gop"], VIDEO_FRAMES + 1)
