"""H.264 clips as DROID's MP4s are: one frame for each row, played back at a nominal 60 frames per second."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from featurize.demo_data.room import Image
from featurize.demo_data.timing import CAMERA_HZ

_OPTIONS = {"preset": "ultrafast", "crf": "18", "bf": "0", "g": "15"}


def write_clip(
    path: Path, frames: Iterator[Image], *, num_frames: int, width_px: int, height_px: int
) -> None:
    """Write the first `num_frames` of RGB frames (H, W, 3) as an MP4 with closed groups of 15 pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=int(CAMERA_HZ), options=_OPTIONS)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.width, stream.height = width_px, height_px
        for image in islice(frames, num_frames):
            planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
