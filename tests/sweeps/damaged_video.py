"""Ways to damage an MP4: its bytes, its boxes, its packets, and files that only pretend to be one."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from tests.featurize.droid_files import CLOSED_GOP, NUM_ROWS, DroidFolder, remux, write_video
from tests.sweeps.damaged_bytes import BYTE_DAMAGES, ODD_WORDS, Damage, change_bytes, flip_bytes

BOXES = (b"ftyp", b"moov", b"mvhd", b"trak", b"tkhd", b"mdia", b"mdhd", b"stbl", b"stsd", b"stts", b"stsz")
MORE_BOXES = (
    b"stco",
    b"stsc",
    b"stss",
    b"ctts",
    b"elst",
    b"edts",
    b"avc1",
    b"avcC",
    b"mdat",
    b"hdlr",
    b"dinf",
)
CODECS = ("mpeg4", "mjpeg", "libvpx-vp9", "libx265", "libx264", "ffv1", "png")
QUIET = {"libx265": {"x265-params": "log-level=none:pools=1"}, "libx264": CLOSED_GOP}
CONTAINERS = ("mkv", "avi", "ts", "mov", "flv", "ogv", "gif", "h264", "y4m")
ODD_SIZES = ((2, 2), (2, 4096), (4096, 2), (35, 63), (34, 62), (1080, 1920), (18, 4000))
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n"
SCRIPTS = (PLAYLIST, "ffconcat version 1.0\nfile {target}\n", "file {target}\n", "<MPD>{target}</MPD>")


def of_file(damage: Callable[[Path, np.random.Generator], None]) -> Damage:
    """A damage of the left camera's file."""

    def do(folder: DroidFolder, rng: np.random.Generator) -> None:
        damage(folder.video, rng)

    do.__name__ = f"mp4_{damage.__name__}"
    return do


def place_of(data: bytes, name: bytes) -> int:
    """Where a box's size stands; 0 where there is no such box."""
    return max(data.find(name) - 4, 0)


def flips_in_the_index(path: Path, rng: np.random.Generator) -> None:
    flip_bytes(path, rng, first=place_of(path.read_bytes(), b"moov"))


def flips_in_the_frames(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    flip_bytes(path, rng, first=place_of(data, b"mdat") + 8, last=place_of(data, b"moov"))


def an_odd_box(path: Path, rng: np.random.Generator) -> None:
    """Another size, or odd values among the first words of a box."""
    boxes = BOXES + MORE_BOXES

    def change(data: bytearray) -> None:
        start = place_of(data, boxes[rng.integers(len(boxes))])
        start += 4 * int(rng.integers(0, 12)) if rng.random() < 0.7 else 0
        data[start : start + 4] = ODD_WORDS[rng.integers(len(ODD_WORDS))].to_bytes(4, "big")

    change_bytes(path, change)


def a_renamed_box(path: Path, rng: np.random.Generator) -> None:
    boxes = BOXES + MORE_BOXES
    old, new = (boxes[rng.integers(len(boxes))] for _ in range(2))
    path.write_bytes(path.read_bytes().replace(old, new))


def odd_frame_sizes(path: Path, rng: np.random.Generator) -> None:
    """Lengths of NAL units that are none, at the starts of packets."""
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]

    def change(data: bytearray) -> None:
        for place in rng.choice(places, size=int(rng.integers(1, 4))):
            data[place : place + 4] = ODD_WORDS[rng.integers(len(ODD_WORDS))].to_bytes(4, "big")

    change_bytes(path, change)


def claimed_pixels(path: Path, rng: np.random.Generator) -> None:
    """Another width and height in the sample entry than in the stream."""
    height, width = (int(rng.choice([0, 1, 63, 4096, 16384, 65535])) for _ in range(2))

    def change(data: bytearray) -> None:
        place = data.find(b"avc1", data.find(b"stsd"))
        if place > 0:
            data[place + 28 : place + 32] = struct.pack(">HH", width, height)

    change_bytes(path, change)


def another_rate(path: Path, rng: np.random.Generator) -> None:
    ticks_a_second = ODD_WORDS[rng.integers(len(ODD_WORDS))]

    def change(data: bytearray) -> None:
        place = data.find(b"mdhd")
        data[place + 16 : place + 20] = ticks_a_second.to_bytes(4, "big")

    change_bytes(path, change)


def another_codec(path: Path, rng: np.random.Generator) -> None:
    codec = CODECS[rng.integers(len(CODECS))]
    pixel_format = {"mjpeg": "yuvj420p", "png": "rgb24", "ffv1": "yuv420p"}.get(codec, "yuv420p")
    other = path.with_suffix(".mkv" if codec == "ffv1" else ".mp4")
    write_video(other, codec=codec, options=QUIET.get(codec, {}), pixel_format=pixel_format)
    other.replace(path)


def another_container(path: Path, rng: np.random.Generator) -> None:
    suffix = CONTAINERS[rng.integers(len(CONTAINERS))]
    codec = {"gif": "gif", "ogv": "libvpx", "flv": "libx264", "y4m": "rawvideo"}.get(suffix, "libx264")
    other = path.with_suffix(f".{suffix}")
    options = CLOSED_GOP if codec == "libx264" else {}
    pixel_format = "rgb8" if suffix == "gif" else "yuv420p"
    write_video(other, codec=codec, options=options, pixel_format=pixel_format)
    other.replace(path)


def odd_size(path: Path, rng: np.random.Generator) -> None:
    size = ODD_SIZES[rng.integers(len(ODD_SIZES))]
    odd = size[0] % 2 or size[1] % 2
    write_video(path, size=size, num_frames=NUM_ROWS, pixel_format="yuv444p" if odd else "yuv420p")


def one_pixel(path: Path, rng: np.random.Generator) -> None:
    write_video(path, size=(1, 1), codec="mpeg4", options={})


def no_frames(path: Path, rng: np.random.Generator) -> None:
    write_video(path, num_frames=int(rng.choice([1, 2, 15, 4000])))


def missing_packets(path: Path, rng: np.random.Generator) -> None:
    gone = set(rng.integers(0, NUM_ROWS, size=int(rng.integers(1, 5))).tolist())
    remux(path, path.with_suffix(".other.mp4"), keep=lambda number: number not in gone).replace(path)


def two_sizes(path: Path, rng: np.random.Generator) -> None:
    """The picture grows in the middle of the stream: parameter sets in the packets themselves."""
    small, large = path.with_suffix(".small.ts"), path.with_suffix(".large.ts")
    write_video(small, num_frames=NUM_ROWS // 2)
    write_video(large, num_frames=NUM_ROWS // 2, size=(72, 128))
    joined = path.with_suffix(".joined.mp4")
    with av.open(str(joined), "w") as new:
        stream, count = None, 0
        for part in (small, large):
            with av.open(str(part)) as old:
                stream = stream or new.add_stream_from_template(old.streams.video[0])
                for packet in old.demux(video=0):
                    if packet.dts is not None:
                        packet.pts = packet.dts = count * 1500
                        packet.stream, count = stream, count + 1
                        new.mux(packet)
    joined.replace(path)


def in_fragments(path: Path, rng: np.random.Generator) -> None:
    write_video(path, container_options={"movflags": "frag_keyframe+empty_moov"})
    if rng.random() < 0.5:
        flip_bytes(path, rng)


def a_script(path: Path, rng: np.random.Generator) -> None:
    """What FFmpeg would follow to other files, or to the network."""
    neighbour = path.with_name("neighbour.mp4")
    path.rename(neighbour)
    targets = (neighbour.name, str(neighbour), f"file://{neighbour}", "http://127.0.0.1:9/x.mp4", "/dev/zero")
    script = SCRIPTS[rng.integers(len(SCRIPTS))]
    path.write_text(script.format(target=targets[rng.integers(len(targets))]))


def the_neighbours_video(folder: DroidFolder, rng: np.random.Generator) -> None:
    neighbours = sorted(folder.path.parent.glob("clean-*/recordings/MP4/*.mp4"))
    folder.video.write_bytes(neighbours[rng.integers(len(neighbours))].read_bytes())


def swapped_with_the_rows(folder: DroidFolder, rng: np.random.Generator) -> None:
    video, rows = folder.video.read_bytes(), folder.rows.read_bytes()
    folder.video.write_bytes(rows)
    folder.rows.write_bytes(video)


MP4_DAMAGES: tuple[Damage, ...] = (
    *(of_file(damage) for damage in BYTE_DAMAGES),
    *(
        of_file(damage)
        for damage in (
            *(flips_in_the_index, flips_in_the_index, flips_in_the_frames, an_odd_box, an_odd_box),
            *(a_renamed_box, odd_frame_sizes, claimed_pixels, another_rate, another_codec, odd_size),
            *(another_container, one_pixel, no_frames, missing_packets, two_sizes, in_fragments, a_script),
        )
    ),
    *(the_neighbours_video, swapped_with_the_rows),
)
