"""Finding damage inside a video, before frames of it reach a store.

decord paints over damaged packets in silence; its result looks like any other frame. PyAV marks such a frame.
So a video is decoded once, whole and in order, when it is indexed: about half a second for 300 frames of 1280
x 720 on one core. Of random overwritten bytes this finds nine in ten (generated H.264 files); the rest decode
to valid pictures, which only a checksum of the original could tell from the right ones.
"""

from pathlib import Path

from featurize.video.container import VideoUnreadableError, open_video


def verify_decodes(path: Path, num_frames: int) -> None:
    """Decode all frames. Raises VideoUnreadableError for a damaged one, and for fewer than `num_frames`."""
    with open_video(path) as (container, stream):
        num_decoded = 0
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise VideoUnreadableError(f"{path.name} is damaged at frame {num_decoded}.")
            num_decoded += 1
    if num_decoded < num_frames:
        raise VideoUnreadableError(f"{path.name} should decode to {num_frames} frames, got {num_decoded}.")
