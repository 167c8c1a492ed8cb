"""Decoding chosen frames of a video, exact to the frame.

Shape suffixes: F frames asked for, H height, W width, C colours (RGB).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from featurize.video.container import VideoUnreadableError, open_video

Decoder = Literal["decord", "pyav"]
# Frames that decord hands over at once: enough to pay for the call, 22 MB of them at 1280 x 720.
DECORD_FRAMES: Final = 8


def decode_frames(
    path: Path, indices: Sequence[int] | NDArray[np.int64], decoder: Decoder
) -> NDArray[np.uint8]:
    """The frames with these numbers, in the order asked for: uint8 (F, H, W, 3), RGB.

    Raises `VideoUnreadableError` as `each_frame` does.
    """
    sorted_indices, places_F = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
    frames_FHWC = np.stack(list(each_frame(path, sorted_indices, decoder)))
    in_order = np.array_equal(places_F, np.arange(len(frames_FHWC)))
    return frames_FHWC if in_order else frames_FHWC[places_F]


def each_frame(
    path: Path, sorted_indices: NDArray[np.int64], decoder: Decoder
) -> Iterator[NDArray[np.uint8]]:
    """The frames with these numbers, ascending and distinct, one after the other: uint8 (H, W, 3), RGB.

    `decoder` is `probe`'s choice: decord is exact only on the streams found safe there, and seeks; PyAV is
    exact on all and reads from the start up to the last frame needed. Both use one thread, give the same
    pixels and have closed the file at the end. Raises `VideoUnreadableError` for a damaged file or a frame
    that is not there.
    """
    assert sorted_indices.size, "no frame asked for"
    assert sorted_indices[0] >= 0, sorted_indices[0]
    read = _read_with_decord if decoder == "decord" else _read_with_pyav
    return read(path, sorted_indices)


def decord_frame_count(path: Path) -> int:
    """The number of frames decord sees; 0 where it cannot open the file, or is not installed here."""
    try:
        return len(_open_with_decord(path))
    except (ImportError, VideoUnreadableError):
        return 0


def _open_with_decord(path: Path) -> Any:
    import decord  # no wheel exists for some platforms, where probe never chooses it

    try:
        return decord.VideoReader(str(path), num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoUnreadableError(f"{path.name} cannot be opened by decord.") from error


def _read_with_decord(path: Path, sorted_indices: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    import decord

    reader = _open_with_decord(path)
    try:
        if sorted_indices[-1] >= len(reader):
            raise _not_there(path, sorted_indices, len(reader))
        for start in range(0, len(sorted_indices), DECORD_FRAMES):
            yield from reader.get_batch(sorted_indices[start : start + DECORD_FRAMES]).asnumpy()
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoUnreadableError(f"{path.name} cannot be decoded by decord.") from error
    finally:
        del reader  # or the traceback of a failure keeps the file open


def _read_with_pyav(path: Path, sorted_indices: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    wanted, num_seen = iter(sorted_indices.tolist()), 0
    next_wanted = next(wanted)
    with open_video(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            num_seen += 1
            if frame.is_corrupt:
                raise VideoUnreadableError(f"{path.name} is damaged at frame {number}.")
            if number == next_wanted:
                yield frame.to_ndarray(format="rgb24", threads=1).astype(np.uint8, copy=False)
                next_wanted = next(wanted, -1)
            if next_wanted < 0:
                return
    raise _not_there(path, sorted_indices, num_seen)


def _not_there(path: Path, sorted_indices: NDArray[np.int64], num_frames: int) -> VideoUnreadableError:
    asked_for = sorted_indices[-1]
    return VideoUnreadableError(f"{path.name} has {num_frames} frames; frame {asked_for} was asked for.")
