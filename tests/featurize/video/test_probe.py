import sys
from types import SimpleNamespace

import av
import numpy as np
import pytest

from featurize.video import probe as probe_module
from featurize.video.container import VideoUnreadableError
from featurize.video.decode import decode_frames
from featurize.video.probe import probe

from ..conftest import VIDEO_FRAMES, VIDEO_KINDS, VIDEO_SIZE
from ..droid_files import CLOSED_GOP, numbers_decoded_in_order, remux, shown_number, write_video


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_chooses_the_decoder_that_reads_the_kind_exactly(videos, kind):
    facts = probe(videos[kind])
    assert facts.decoder == VIDEO_KINDS[kind].decoder
    assert VIDEO_KINDS[kind].reason in facts.decoder_reason


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_reads_the_facts_of_every_kind(videos, kind):
    facts = probe(videos[kind])
    assert (facts.height_px, facts.width_px) == VIDEO_SIZE
    assert (facts.num_frames, facts.nominal_hz) == (VIDEO_FRAMES, 60.0)


@pytest.mark.parametrize(("kind", "codec"), [("h264-open-gop", "h264"), ("hevc", "hevc"), ("av1", "av1")])
def test_names_the_codec_and_not_the_library_that_reads_it(videos, kind, codec):
    assert probe(videos[kind]).codec == codec


@pytest.fixture
def safe_video(videos):
    return videos["h264-closed-gop"]


def test_h264_outside_mp4_goes_to_pyav(tmp_path):
    path = write_video(tmp_path / "start_codes.ts", num_frames=24, options=CLOSED_GOP)
    assert probe(path).decoder == "pyav"


def test_a_video_with_an_edit_list_goes_to_pyav_which_heeds_it(safe_video, tmp_path):
    path = remux(safe_video, tmp_path / "edited.mp4", shift_frames=5)
    facts = probe(path)
    assert (facts.decoder, facts.decoder_reason) == ("pyav", "an edit list hides 5 packets")
    assert facts.num_frames == VIDEO_FRAMES - 5
    assert shown_number(decode_frames(path, [0], "pyav")[0]) == 5


def test_a_video_that_decord_sees_otherwise_goes_to_pyav(safe_video, monkeypatch):
    monkeypatch.setattr("featurize.video.probe.decord_frame_count", lambda _: VIDEO_FRAMES - 1)
    facts = probe(safe_video)
    assert (facts.decoder, facts.decoder_reason) == ("pyav", "decord sees 59 of 60 frames")


def test_without_decord_everything_goes_to_pyav(safe_video, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert probe(safe_video).decoder == "pyav"


def test_finds_a_missing_beginning(safe_video, tmp_path):
    path = remux(safe_video, tmp_path / "late.mp4", keep=lambda number: number >= 3)
    with pytest.raises(
        VideoUnreadableError, match=r"late.mp4 does not start with a key frame; its beginning"
    ):
        probe(path)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_finds_a_truncated_file_that_still_opens(tmp_path, share):
    path = write_video(tmp_path / "cut.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(VideoUnreadableError, match=r"cut.mp4 is truncated in frame \d+ of 80"):
        probe(path)


def test_finds_a_file_cut_exactly_between_two_frames(tmp_path):
    path = write_video(tmp_path / "cut.mp4", container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: start_of_last_packet(path)])
    with pytest.raises(
        VideoUnreadableError, match=r"cut.mp4 announces 80 frames, holds 79; is it truncated\?"
    ):
        probe(path)


def start_of_last_packet(path):
    with av.open(str(path)) as container:
        return max(packet.pos for packet in container.demux(video=0) if packet.size)


def test_refuses_a_stream_without_a_frame_rate(tmp_path):
    with pytest.raises(
        VideoUnreadableError, match=r"a.mp4 does not say its frame rate; expected one above 0"
    ):
        probe_module._nominal_hz(tmp_path / "a.mp4", SimpleNamespace(average_rate=None))


def test_refuses_a_file_that_is_no_video(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(VideoUnreadableError, match=r"notes.mp4 cannot be read: Invalid data"):
        probe(path)


def test_refuses_a_file_without_a_picture(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoUnreadableError, match=r"sound.mp4 holds no video stream; expected one"):
        probe(path)


def test_the_numbers_drawn_into_frames_can_be_told_apart(videos):
    for kind, path in videos.items():
        assert numbers_decoded_in_order(path) == list(range(VIDEO_FRAMES)), kind


def test_a_script_that_names_another_video_is_not_followed(safe_video, tmp_path):
    other = tmp_path / "other.mp4"
    other.write_bytes(safe_video.read_bytes())
    (tmp_path / "script.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(VideoUnreadableError, match=r"script.mp4 cannot be read: Invalid"):
        probe(tmp_path / "script.mp4")


def test_refuses_a_codec_that_nobody_knows(tmp_path):
    path = write_video(tmp_path / "odd.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"q9q9"))
    with pytest.raises(VideoUnreadableError, match=r"odd.mp4 is coded in a way that FFmpeg does not know"):
        probe(path)
