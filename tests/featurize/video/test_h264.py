import pytest

from featurize.video.h264 import is_idr, length_size_bytes, nal_types


def unit(nal_type, length_size=4, payload=b"\xaa\xbb"):
    body = bytes([0x60 | nal_type]) + payload  # the upper bits are not part of the type
    return len(body).to_bytes(length_size, "big") + body


@pytest.mark.parametrize("length_size", [1, 2, 4])
def test_types_are_read_across_lengths_of_any_width(length_size):
    packet = b"".join(unit(nal_type, length_size) for nal_type in (9, 6, 5))
    assert list(nal_types(packet, length_size)) == [9, 6, 5]


@pytest.mark.parametrize(
    ("nal_type_of_slices", "expected"),
    [((5,), True), ((5, 5), True), ((1,), False), ((5, 1), False), ((), False)],
)
def test_a_packet_is_an_idr_when_all_its_slices_are(nal_type_of_slices, expected):
    parameter_sets = unit(7) + unit(8)
    assert is_idr(parameter_sets + b"".join(map(unit, nal_type_of_slices)), 4) is expected


def test_a_broken_length_ends_the_reading():
    assert list(nal_types(unit(7) + b"\xff\xff\xff\xff\x65", 4)) == [7, 5]


@pytest.mark.parametrize(
    ("extradata", "expected"),
    [
        (b"\x01\x64\x00\x1f\xff", 4),
        (b"\x01\x64\x00\x1f\xfd", 2),
        (b"\x00\x00\x00\x01\x67", None),  # start codes
        (b"\x01", None),
        (None, None),
    ],
)
def test_the_length_size_comes_from_the_configuration_record(extradata, expected):
    assert length_size_bytes(extradata) == expected
