"""What a video file is, whether all of it is there, and which decoder reads it exactly.

Nothing is decoded: the packets are read and counted, in a few milliseconds. Damage inside them is found by
`verify`.

decord seeks fast, but returns wrong frames without an error on open GOPs, HEVC and MPEG-4 part 2, and cannot
open AV1. It may therefore read only what is known to be safe: 8-bit H.264 whose every key frame is an IDR, in
a file that hides nothing and in which it sees as many frames as PyAV. The rest is read in order, by PyAV.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
from av.video.stream import VideoStream

from featurize.video import h264
from featurize.video.container import VideoUnreadableError, open_video
from featurize.video.decode import Decoder, decord_frame_count

# decord converts 10-bit video to other colours than PyAV, by up to 75 of 255 (seen).
DECORD_PIXEL_FORMATS = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """A video whose packets are all there.

    nominal_hz: the average rate the file claims. decoder: the one to use; decoder_reason: why.
    """

    num_frames: int
    height_px: int
    width_px: int
    codec: str
    nominal_hz: float
    decoder: Decoder
    decoder_reason: str


@dataclass(frozen=True, kw_only=True)
class _Packets:
    """What one pass over a stream's packets counts. hidden: cut away by an edit list."""

    total: int
    hidden: int
    starts_with_key_frame: bool
    closed_gops: bool

    @property
    def num_frames(self) -> int:
        return self.total - self.hidden


def probe(path: Path) -> StreamFacts:
    """Read the packets of a file's first video stream. Raises VideoUnreadableError where some are missing."""
    with open_video(path) as (container, stream):
        packets = _count(path, container.demux(stream), stream)
        _check_whole(path, packets, stream)
        reason_for_pyav = _why_not_decord(path, packets, stream)
        return StreamFacts(
            num_frames=packets.num_frames,
            height_px=stream.codec_context.height,
            width_px=stream.codec_context.width,
            codec=stream.codec_context.codec.canonical_name,
            nominal_hz=_nominal_hz(path, stream),
            decoder="pyav" if reason_for_pyav else "decord",
            decoder_reason=reason_for_pyav or "8-bit H.264 with closed GOPs",
        )


def _count(path: Path, packets: Iterable["av.Packet[VideoStream]"], stream: VideoStream) -> _Packets:
    length_size = h264.length_size_bytes(stream.codec_context.extradata)
    total, hidden, starts_with_key_frame, closed_gops = 0, 0, False, length_size is not None
    for packet in packets:
        if not packet.size:  # flushes the decoder, holds nothing
            continue
        if packet.is_corrupt:
            raise VideoUnreadableError(f"{path.name} is truncated in frame {total} of {stream.frames}.")
        if packet.is_keyframe and length_size is not None:
            closed_gops = closed_gops and h264.is_idr(bytes(packet), length_size)
        starts_with_key_frame = starts_with_key_frame or (total == 0 and packet.is_keyframe)
        total, hidden = total + 1, hidden + packet.is_discard
    return _Packets(
        total=total, hidden=hidden, starts_with_key_frame=starts_with_key_frame, closed_gops=closed_gops
    )


def _check_whole(path: Path, packets: _Packets, stream: VideoStream) -> None:
    announced = stream.frames or packets.total  # 0 where the container does not say
    if packets.total != announced:
        raise VideoUnreadableError(
            f"{path.name} announces {announced} frames, holds {packets.total}; is it truncated?"
        )
    if not packets.starts_with_key_frame:
        raise VideoUnreadableError(f"{path.name} does not start with a key frame; its beginning is missing.")


def _why_not_decord(path: Path, packets: _Packets, stream: VideoStream) -> str:
    """Why decord may not read this stream; empty where it may."""
    codec, pixel_format = stream.codec_context.codec.canonical_name, stream.codec_context.pix_fmt
    if codec != "h264":
        return f"codec {codec}, not h264"
    if pixel_format not in DECORD_PIXEL_FORMATS:
        return f"pixel format {pixel_format}"
    if not packets.closed_gops:
        return "a key frame is no IDR (open GOP)"
    if packets.hidden:
        return f"an edit list hides {packets.hidden} packets"
    seen_by_decord = decord_frame_count(path)
    agree = seen_by_decord == packets.total
    return "" if agree else f"decord sees {seen_by_decord} of {packets.total} frames"


def _nominal_hz(path: Path, stream: VideoStream) -> float:
    if not stream.average_rate:
        raise VideoUnreadableError(f"{path.name} does not say its frame rate; expected one above 0.")
    return float(stream.average_rate)
