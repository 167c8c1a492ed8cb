"""Opening a video file with PyAV, single-threaded, with every failure turned into one kind of error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from featurize.rejects import RejectReason, UnusableError

# FFmpeg also knows playlists and scripts, which may name any file or server.
CONTAINERS: Final = {"format_whitelist": "mp4,mpegts,matroska,avi"}


class VideoUnreadableError(UnusableError):
    """A video file that cannot be read whole and undamaged."""

    def __init__(self, detail: str) -> None:
        super().__init__(RejectReason.VIDEO_UNREADABLE, detail)

    def __reduce__(self) -> tuple[type["VideoUnreadableError"], tuple[str]]:
        return type(self), (self.detail,)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream; raises `VideoUnreadableError`, from the body too."""
    try:
        with av.open(str(path), options=CONTAINERS, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise VideoUnreadableError(f"{path.name} holds no video stream; expected one.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoUnreadableError(f"{path.name} is coded in a way that FFmpeg does not know.")
            # One file is one task: a decoder that takes more threads takes them from its neighbours.
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.FFmpegError as error:
        raise VideoUnreadableError(f"{path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, OverflowError, MemoryError) as error:  # PyAV's own, for sizes and formats it refuses
        raise VideoUnreadableError(f"{path.name} cannot be read: {error}.") from error
