"""The files against DROID's raw format, as its schema document and recorded examples declare it."""

from datetime import datetime
from typing import Any

import av
import h5py
import numpy as np
import pytest

# Types of the values of a real record, in its order.
METADATA_TYPES: dict[str, type] = {
    "uuid": str,
    "lab": str,
    "user": str,
    "user_id": str,
    "date": str,
    "timestamp": str,
    "hdf5_path": str,
    "building": str,
    "scene_id": int,
    "success": bool,
    "robot_serial": str,
    "r2d2_version": str,
    "current_task": str,
    "trajectory_length": int,
    "wrist_cam_serial": str,
    "ext1_cam_serial": str,
    "ext2_cam_serial": str,
    "wrist_cam_extrinsics": list,
    "ext1_cam_extrinsics": list,
    "ext2_cam_extrinsics": list,
    "wrist_svo_path": str,
    "wrist_mp4_path": str,
    "ext1_svo_path": str,
    "ext1_mp4_path": str,
    "ext2_svo_path": str,
    "ext2_mp4_path": str,
    "left_mp4_path": str,
    "right_mp4_path": str,
}

# Shape after the rows and number type of every array; SERIAL stands for each camera, WRIST for the hand's.
ARRAYS: dict[str, tuple[tuple[int, ...], str]] = {
    "action/cartesian_position": ((6,), "float64"),
    "action/cartesian_velocity": ((6,), "float64"),
    "action/gripper_position": ((), "float64"),
    "action/gripper_velocity": ((), "float64"),
    "action/joint_position": ((7,), "float64"),
    "action/joint_velocity": ((7,), "float64"),
    "action/target_cartesian_position": ((6,), "float64"),
    "action/target_gripper_position": ((), "float64"),
    "observation/camera_extrinsics/SERIAL_left": ((6,), "float64"),
    "observation/camera_extrinsics/SERIAL_right": ((6,), "float64"),
    "observation/camera_extrinsics/WRIST_left_gripper_offset": ((6,), "float64"),
    "observation/camera_extrinsics/WRIST_right_gripper_offset": ((6,), "float64"),
    "observation/camera_type/SERIAL": ((), "int64"),
    "observation/controller_info/controller_on": ((), "bool"),
    "observation/controller_info/failure": ((), "bool"),
    "observation/controller_info/movement_enabled": ((), "bool"),
    "observation/controller_info/success": ((), "bool"),
    "observation/robot_state/cartesian_position": ((6,), "float64"),
    "observation/robot_state/gripper_position": ((), "float64"),
    "observation/robot_state/joint_positions": ((7,), "float64"),
    "observation/robot_state/joint_torques_computed": ((7,), "float64"),
    "observation/robot_state/joint_velocities": ((7,), "float64"),
    "observation/robot_state/motor_torques_measured": ((7,), "float64"),
    "observation/robot_state/prev_command_successful": ((), "bool"),
    "observation/robot_state/prev_controller_latency_ms": ((), "float64"),
    "observation/robot_state/prev_joint_torques_computed": ((7,), "float64"),
    "observation/robot_state/prev_joint_torques_computed_safened": ((7,), "float64"),
    "observation/timestamp/cameras/SERIAL_estimated_capture": ((), "int64"),
    "observation/timestamp/cameras/SERIAL_frame_received": ((), "int64"),
    "observation/timestamp/cameras/SERIAL_read_end": ((), "int64"),
    "observation/timestamp/cameras/SERIAL_read_start": ((), "int64"),
    "observation/timestamp/control/control_start": ((), "int64"),
    "observation/timestamp/control/policy_start": ((), "int64"),
    "observation/timestamp/control/sleep_start": ((), "int64"),
    "observation/timestamp/control/step_end": ((), "int64"),
    "observation/timestamp/control/step_start": ((), "int64"),
    "observation/timestamp/robot_state/read_end": ((), "int64"),
    "observation/timestamp/robot_state/read_start": ((), "int64"),
    "observation/timestamp/robot_state/robot_timestamp_nanos": ((), "int64"),
    "observation/timestamp/robot_state/robot_timestamp_seconds": ((), "int64"),
    "observation/timestamp/skip_action": ((), "bool"),
}
ATTRIBUTES = {
    *("building", "controller_on", "current_task", "failure", "fixed_tasks", "movement_enabled", "new_tasks"),
    *("robot_serial_number", "scene_id", "success", "time", "user", "version_number"),
}


def test_the_metadata_has_every_key_of_the_real_one(episodes: list[Any]) -> None:
    for episode in episodes:
        assert {key: type(value) for key, value in episode.metadata.items()} == METADATA_TYPES


def test_folders_are_lab_outcome_day_and_start_time(demo_root: Any, episodes: list[Any]) -> None:
    for episode in episodes:
        lab, outcome, day, start = episode.folder.relative_to(demo_root).parts
        assert lab == episode.metadata["lab"]
        assert outcome == ("success" if episode.metadata["success"] else "failure")
        assert day == episode.metadata["date"]
        # DROID pads days below ten with a second underscore, as in Tue_Nov__7_19:29:35_2023.
        started = datetime.strptime(start, "%a_%b__%d_%H:%M:%S_%Y")
        assert started.strftime("%Y-%m-%d-%Hh-%Mm-%Ss") == episode.metadata["timestamp"]


def test_the_uuid_is_lab_collector_and_time_and_names_the_file(episodes: list[Any]) -> None:
    for episode in episodes:
        record = episode.metadata
        assert record["uuid"] == f"{record['lab']}+{record['user_id']}+{record['timestamp']}"
        assert (episode.folder / f"metadata_{record['uuid']}.json").is_file()
    assert len({episode.metadata["uuid"] for episode in episodes}) == len(episodes)


def test_paths_in_the_metadata_start_below_the_lab_and_lead_to_the_files(
    demo_root: Any, episodes: list[Any]
) -> None:
    for episode in episodes:
        lab = demo_root / episode.metadata["lab"]
        keys = ["hdf5_path", *(f"{name}_mp4_path" for name in ("wrist", "ext1", "ext2", "left", "right"))]
        assert all((lab / episode.metadata[key]).is_file() for key in keys)


def test_the_left_camera_stands_on_the_robots_left_and_ext1_has_the_smaller_serial(
    episodes: list[Any],
) -> None:
    for episode in episodes:
        record = episode.metadata
        assert record["ext1_cam_serial"] < record["ext2_cam_serial"]
        ext1_is_left = record["ext1_cam_extrinsics"][1] > record["ext2_cam_extrinsics"][1]
        assert record["left_mp4_path"] == record["ext1_mp4_path" if ext1_is_left else "ext2_mp4_path"]
    assert len({e.metadata["left_mp4_path"] == e.metadata["ext1_mp4_path"] for e in episodes}) == 2


def test_the_h5_file_has_exactly_the_real_arrays(episodes: list[Any]) -> None:
    for episode in episodes:
        with h5py.File(episode.folder / "trajectory.h5") as file:
            found = arrays_of(file)
        lengths = {values.shape[0] for values in found.values()}
        assert lengths == {episode.metadata["trajectory_length"]}
        kinds = {name: (values.shape[1:], str(values.dtype)) for name, values in found.items()}
        assert kinds == _expected_arrays(episode.serials)


def test_the_h5_attributes_are_the_real_ones(episodes: list[Any]) -> None:
    for episode in episodes:
        with h5py.File(episode.folder / "trajectory.h5") as file:
            attributes = dict(file.attrs)
        assert set(attributes) == ATTRIBUTES
        assert attributes["current_task"] == episode.metadata["current_task"]
        assert attributes["success"] == episode.metadata["success"] != attributes["failure"]


def test_metadata_extrinsics_are_those_of_the_first_row(episodes: list[Any]) -> None:
    for episode in episodes:
        for role, serial in episode.serials.items():
            rows = episode.rows(f"observation/camera_extrinsics/{serial}_left")
            np.testing.assert_array_equal(rows[0], episode.metadata[f"{role}_cam_extrinsics"])


@pytest.mark.parametrize("camera", ["left", "right", "wrist"])
def test_clips_are_h264_without_b_frames_at_a_nominal_60_hz(episodes: list[Any], camera: str) -> None:
    for episode in episodes:
        with av.open(str(episode.video(f"{camera}_mp4_path"))) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 60)
            assert (stream.width, stream.height) == (160, 90)
            packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
        assert np.diff([*keys, len(packets)]).max() <= 15


def test_every_seventh_episode_has_clips_one_frame_short_and_the_others_have_one_a_row(
    episodes: list[Any],
) -> None:
    missing = [episode.metadata["trajectory_length"] - _num_frames(episode) for episode in episodes]
    assert missing == [0, 0, 0, 0, 0, 0, 1]


def test_there_are_failures_and_at_least_three_labs(episodes: list[Any]) -> None:
    assert {episode.metadata["success"] for episode in episodes} == {True, False}
    assert len({episode.metadata["lab"] for episode in episodes}) >= 3


def test_episodes_last_six_to_nine_seconds(episodes: list[Any]) -> None:
    assert all(90 <= episode.metadata["trajectory_length"] <= 135 for episode in episodes)


def arrays_of(file: h5py.File) -> dict[str, Any]:
    names: list[str] = []
    file.visit(names.append)
    return {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}


def _expected_arrays(serials: dict[str, str]) -> dict[str, tuple[tuple[int, ...], str]]:
    expected = {}
    for name, kind in ARRAYS.items():
        for serial in serials.values():
            expected[name.replace("SERIAL", serial).replace("WRIST", serials["wrist"])] = kind
    return expected


def _num_frames(episode: Any) -> int:
    counts = set()
    for role in ("wrist", "ext1", "ext2"):
        with av.open(str(episode.video(f"{role}_mp4_path"))) as container:
            counts.add(sum(1 for _ in container.decode(video=0)))
    (count,) = counts
    return count
