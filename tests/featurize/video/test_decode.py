"""Legend: F frames, H height, W width, C colours."""

from pathlib import Path

import av
import numpy as np
import pytest

from featurize.video.container import VideoUnreadableError
from featurize.video.decode import decode_frames
from featurize.video.probe import probe

from ..conftest import VIDEO_FRAMES, VIDEO_KINDS
from ..droid_files import CLOSED_GOP, shown_number, write_video

# Seeks forwards and backwards, over and into groups of pictures, with a repetition.
SCATTERED = [44, 0, 31, 30, 14, 59, 14, 16, 45, 29]
SAFE_KINDS = [name for name, kind in VIDEO_KINDS.items() if kind.decoder == "decord"]


INDICES = [
    SCATTERED,
    list(range(VIDEO_FRAMES)),
    list(range(0, VIDEO_FRAMES, 4)),
    [VIDEO_FRAMES - 1],
    [0],
]


@pytest.fixture(params=["decord", "pyav"])
def decoder(request):
    return request.param


@pytest.fixture
def safe_video(videos):
    return videos["h264-closed-gop"]


def decoded_in_order(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("indices", INDICES)
@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_every_kind_equals_a_sequential_decode(videos, kind, indices):
    path = videos[kind]
    frames_FHWC = decode_frames(path, indices, probe(path).decoder)
    assert frames_FHWC.dtype == np.uint8
    assert [shown_number(frame_HWC) for frame_HWC in frames_FHWC] == indices
    np.testing.assert_array_equal(frames_FHWC, decoded_in_order(path)[indices])


@pytest.mark.parametrize("size", [(36, 64), (98, 130), (180, 320), (720, 1280)])
def test_both_decoders_give_the_same_pixels(tmp_path, size):
    path = write_video(tmp_path / "video.mp4", num_frames=5, options=CLOSED_GOP, size=size)
    by_pyav, by_decord = (decode_frames(path, [0, 3, 4], decoder) for decoder in ("pyav", "decord"))
    np.testing.assert_array_equal(by_pyav, by_decord)


@pytest.mark.parametrize("kind", ["h264-open-gop", "hevc", "mpeg4-part-2"])
def test_decord_is_wrong_where_probe_does_not_choose_it(videos, kind):
    """The reason for the rule; when this fails, decord has learnt and the rule may go."""
    numbers = [
        shown_number(frame) for frame in decode_frames(videos[kind], range(0, VIDEO_FRAMES, 4), "decord")
    ]
    scattered = [
        shown_number(decode_frames(videos[kind], [index], "decord")[0]) for index in range(VIDEO_FRAMES)
    ]
    assert numbers != list(range(0, VIDEO_FRAMES, 4)) or scattered != list(range(VIDEO_FRAMES))


@pytest.mark.parametrize("kind", SAFE_KINDS)
def test_decord_is_right_at_every_frame_where_probe_chooses_it(videos, kind):
    numbers = [
        shown_number(decode_frames(videos[kind], [index], "decord")[0]) for index in range(VIDEO_FRAMES)
    ]
    assert numbers == list(range(VIDEO_FRAMES))


def test_pyav_stops_after_the_last_frame_needed(tmp_path):
    """Damage behind that frame is not reached."""
    path = write_video(tmp_path / "cut.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert [shown_number(frame) for frame in decode_frames(path, [2, 7], "pyav")] == [2, 7]


def test_a_frame_beyond_the_end_is_named(safe_video, decoder):
    with pytest.raises(VideoUnreadableError, match=r"closed-gop.mp4 has 60 frames; frame 60 was asked for"):
        decode_frames(safe_video, [3, 60], decoder)


def test_asking_for_nothing_is_our_own_slip(safe_video, decoder):
    with pytest.raises(AssertionError, match="no frame asked for"):
        decode_frames(safe_video, [], decoder)


def test_a_file_that_is_no_video_is_named(tmp_path, decoder):
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(VideoUnreadableError, match=r"notes.mp4 cannot be (read|opened)"):
        decode_frames(path, [0], decoder)


def test_decord_names_a_file_whose_frames_are_overwritten(tmp_path):
    path = write_video(tmp_path / "blank.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 1000
    data[start : start + 1000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(VideoUnreadableError, match=r"blank.mp4 cannot be decoded by decord"):
        decode_frames(path, range(80), "decord")


def test_a_truncated_file_is_never_filled_up(tmp_path, decoder):
    path = write_video(tmp_path / "cut.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    with pytest.raises(VideoUnreadableError, match=r"cut.mp4"):
        decode_frames(path, [0, 79], decoder)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at open files through /proc")
def test_no_file_stays_open(safe_video, decoder):
    decode_frames(safe_video, [3, 1], decoder)
    assert safe_video not in open_files()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at open files through /proc")
def test_no_file_stays_open_after_a_failure(safe_video, decoder):
    with pytest.raises(VideoUnreadableError) as still_held:
        decode_frames(safe_video, [99], decoder)
    assert safe_video not in open_files()
    assert still_held.value.__traceback__ is not None


def open_files() -> set[Path]:
    return {path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
