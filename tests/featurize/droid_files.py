"""One tiny episode in DROID's raw format, by declared values, and the ways in which tests damage it.

A frame shows its own number: eight blocks across the upper half are its bits, bright for one, dark for zero.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
from numpy.typing import NDArray

HEIGHT_PX, WIDTH_PX = 36, 64
NUM_ROWS = 80
NOMINAL_HZ = 60
FIRST_CAPTURE_MILLISECONDS = 1_688_716_943_000
MILLISECONDS_PER_ROW = 1000 / 15
SERIALS = {"left": "23404442", "right": "29838012", "wrist": "16787047"}
CLOSED_GOP = {"crf": "18", "x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=0"}
BITS = 8


@dataclass(frozen=True)
class DroidFolder:
    """An episode folder and what a test may want to damage in it."""

    path: Path

    @property
    def rows(self) -> Path:
        return self.path / "trajectory.h5"

    @property
    def metadata(self) -> Path:
        return next(self.path.glob("metadata_*.json"))

    @property
    def video(self) -> Path:
        return self.path / "recordings/MP4" / f"{SERIALS['left']}.mp4"

    def edit_metadata(self, **fields: Any) -> None:
        self.metadata.write_text(json.dumps(json.loads(self.metadata.read_text()) | fields))

    def replace_rows(self, key: str, values: NDArray[Any] | None) -> None:
        """Replace a data set; None takes it away."""
        with h5py.File(self.rows, "r+") as file:
            del file[key]
            if values is not None:
                file[key] = values

    def read_rows(self, key: str) -> NDArray[Any]:
        with h5py.File(self.rows) as file:
            return file[key][()]

    def edit_rows(self, key: str, edit: Callable[[NDArray[Any]], None]) -> None:
        """Change the values of a data set in place."""
        values = self.read_rows(key)
        edit(values)
        self.replace_rows(key, values)


def write_episode(
    folder: Path,
    *,
    uuid: str = "AUTOLab+84bd5053+2023-07-07-09h-42m-23s",
    num_rows: int = NUM_ROWS,
    num_frames: int | None = None,
) -> DroidFolder:
    """An episode of the left camera; the other two share its video."""
    (folder / "recordings/MP4").mkdir(parents=True)
    (folder / f"metadata_{uuid}.json").write_text(json.dumps(metadata_fields(uuid, num_rows)))
    _write_rows(folder / "trajectory.h5", num_rows)
    for serial in SERIALS.values():
        path = folder / "recordings/MP4" / f"{serial}.mp4"
        write_video(path, num_frames=num_rows if num_frames is None else num_frames)
    return DroidFolder(folder)


def metadata_fields(uuid: str, num_rows: int) -> dict[str, Any]:
    collection = "success/2023-07-07/Fri_Jul__7_09:42:23_2023"
    paths = {f"{camera}_mp4_path": f"{collection}/recordings/MP4/{s}.mp4" for camera, s in SERIALS.items()}
    return {
        "uuid": uuid,
        "lab": "AUTOLab",
        "user": "somebody",
        "success": True,
        "current_task": "Put the marker in the cup",
        "trajectory_length": num_rows,
        "ext1_cam_serial": SERIALS["left"],
        "ext2_cam_serial": SERIALS["right"],
        "wrist_cam_serial": SERIALS["wrist"],
        **paths,
    }


def capture_key(camera: str = "left") -> str:
    return f"observation/timestamp/cameras/{SERIALS[camera]}_estimated_capture"


def _write_rows(path: Path, num_rows: int) -> None:
    row_R = np.arange(num_rows)
    with h5py.File(path, "w") as file:
        robot = file.create_group("observation/robot_state")
        robot["cartesian_position"] = 0.01 * row_R[:, None] + 0.1 * np.arange(6.0)
        robot["gripper_position"] = row_R / num_rows
        robot["joint_positions"] = np.zeros((num_rows, 7))
        for camera, serial in SERIALS.items():
            milliseconds_R = FIRST_CAPTURE_MILLISECONDS + np.rint(row_R * MILLISECONDS_PER_ROW).astype(
                np.int64
            )
            file[capture_key(camera)] = milliseconds_R
            file[f"observation/camera_extrinsics/{serial}_left"] = np.tile(np.arange(6.0), (num_rows, 1))


def write_video(
    path: Path,
    *,
    num_frames: int = NUM_ROWS,
    codec: str = "libx264",
    options: Mapping[str, str] = CLOSED_GOP,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (HEIGHT_PX, WIDTH_PX),
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode numbered frames, 60 a second by name."""
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=NOMINAL_HZ, options=dict(options))
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(
    source: Path, target: Path, keep: Callable[[int], bool] = lambda _: True, shift_frames: int = 0
) -> Path:
    """Copy the packets that `keep` wants by their number, `shift_frames` earlier."""
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.dts is None or not keep(number):
                continue
            shift = shift_frames * packet.duration
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            new.mux(packet)
    return target


def numbered_picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.linspace(40, 200, width)
    picture[..., 1] = np.linspace(200, 40, height)[:, None]
    picture[..., 2] = 90
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        picture[: height // 2, left:right] = 220 if number >> bit & 1 else 30
    return picture


def shown_number(picture_HWC: NDArray[np.uint8]) -> int:
    height, width, _ = picture_HWC.shape
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(
        1 << bit for bit, column in enumerate(middles) if picture_HWC[height // 4, column].mean() > 125
    )


def numbers_decoded_in_order(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [shown_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
