"""Just enough of H.264 to tell a closed GOP from an open one (ITU-T H.264; in MP4: ISO/IEC 14496-15).

In MP4 a packet is a row of NAL units, each behind its length; the low five bits of a unit's first byte are
its type.
"""

from collections.abc import Iterator

NAL_SLICE = 1
NAL_IDR_SLICE = 5
CONFIGURATION_VERSION = 1


def length_size_bytes(extradata: bytes | None) -> int | None:
    """Bytes of the length before each NAL unit, from the `avcC` record; None where there is none."""
    if not extradata or len(extradata) < 5 or extradata[0] != CONFIGURATION_VERSION:
        return None
    return (extradata[4] & 0b11) + 1


def nal_types(packet: bytes, length_size: int) -> Iterator[int]:
    """The types of the NAL units in a packet, up to the first one that does not fit into it."""
    start = 0
    while start + length_size < len(packet):
        length = int.from_bytes(packet[start : start + length_size], "big")
        start += length_size
        yield packet[start] & 0b11111
        start += length


def is_idr(packet: bytes, length_size: int) -> bool:
    """Whether decoding can start at this packet with nothing carried over: all its slices are IDR slices.

    A key frame that is no IDR (open GOP) may be followed by pictures that refer to frames before it.
    """
    types = set(nal_types(packet, length_size))
    return NAL_IDR_SLICE in types and NAL_SLICE not in types
