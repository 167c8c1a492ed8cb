"""Fixtures of the source and video tests: a valid DROID episode to copy, and videos of every kind."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from featurize.video.decode import Decoder

from .droid_files import CLOSED_GOP, DroidFolder, write_episode, write_video

MakeEpisode = Callable[[str], DroidFolder]


@dataclass(frozen=True)
class VideoKind:
    """How a kind of video is made, and which decoder is right for it."""

    codec: str
    decoder: Decoder
    reason: str
    options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"


X264_B_FRAMES = "keyint=15:min-keyint=15:scenecut=0:bframes=2:b-adapt=0"
X264_OPEN_GOP = "keyint=15:min-keyint=8:scenecut=0:open-gop=1:bframes=3:b-adapt=0"
X265_OPEN_GOP = f"{X264_OPEN_GOP}:log-level=none:pools=1"
SAFE = "8-bit H.264 with closed GOPs"
VIDEO_KINDS = {
    "h264-closed-gop": VideoKind("libx264", "decord", SAFE, CLOSED_GOP),
    "h264-b-frames": VideoKind("libx264", "decord", SAFE, {"x264-params": X264_B_FRAMES}),
    "h264-full-range": VideoKind("libx264", "decord", SAFE, CLOSED_GOP, "yuvj420p"),
    "h264-open-gop": VideoKind("libx264", "pyav", "open GOP", {"x264-params": X264_OPEN_GOP}),
    "h264-10-bit": VideoKind("libx264", "pyav", "pixel format yuv420p10le", CLOSED_GOP, "yuv420p10le"),
    "hevc": VideoKind("libx265", "pyav", "codec hevc", {"x265-params": X265_OPEN_GOP}),
    "mpeg4-part-2": VideoKind("mpeg4", "pyav", "codec mpeg4", {"g": "12", "bf": "2", "q": "3"}),
    "av1": VideoKind("libsvtav1", "pyav", "codec av1", {"preset": "12", "g": "16", "svtav1-params": "lp=1"}),
    "vp9": VideoKind("libvpx-vp9", "pyav", "codec vp9", {"g": "16", "deadline": "realtime", "cpu-used": "8"}),
}
VIDEO_FRAMES = 60
VIDEO_SIZE = (96, 128)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One video of each kind, 60 numbered frames; shared, not to be changed."""
    folder = tmp_path_factory.mktemp("videos")
    return {
        name: write_video(
            folder / f"{name}.mp4",
            num_frames=VIDEO_FRAMES,
            codec=kind.codec,
            options=kind.options,
            pixel_format=kind.pixel_format,
            size=VIDEO_SIZE,
        )
        for name, kind in VIDEO_KINDS.items()
    }


@pytest.fixture(scope="session")
def episode_to_copy(tmp_path_factory: pytest.TempPathFactory) -> DroidFolder:
    return write_episode(tmp_path_factory.mktemp("droid") / "episode")


@pytest.fixture
def make_episode(tmp_path: Path, episode_to_copy: DroidFolder) -> MakeEpisode:
    """`make_episode("AUTOLab/success/one")` puts a valid episode there, under the test's own source root."""

    def make(location: str) -> DroidFolder:
        return DroidFolder(Path(shutil.copytree(episode_to_copy.path, tmp_path / location)))

    return make
