"""`trajectory.h5`: DROID's groups, names, shapes and number types, filled from a scene.

Names and shapes follow the data set's own schema document ("R2D2 Dataset Schema", with the raw data); number
types follow what its recorder writes: float64, int64 and bool, arrays that can grow along the rows.
R rows.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from featurize.demo_data.cameras import wrist_camera_in_hand
from featurize.demo_data.geometry import Floats, six_from_pose, translation
from featurize.demo_data.identity import Identity
from featurize.demo_data.scene import Scene
from featurize.demo_data.timing import ROW_HZ, CameraClock, milliseconds

# Largest change in one step that DROID's normalised velocities of 1 stand for.
_LARGEST_STEP = np.array([0.075, 0.075, 0.075, 0.15, 0.15, 0.15])
_LARGEST_JOINT_STEP_RADIANS = 0.2
_LARGEST_GRIPPER_STEP = 0.25

_EXTERIOR_BASELINE_METRES, _WRIST_BASELINE_METRES = 0.12, 0.063

Columns = dict[str, NDArray[np.generic]]


def write_trajectory(path: Path, scene: Scene, identity: Identity, clocks: Mapping[str, CameraClock]) -> None:
    """Write a scene's rows with the clocks of its cameras ("left", "right", "wrist")."""
    state = _robot_state(scene)
    groups = {
        "action": _action(scene, state),
        "observation/camera_extrinsics": _camera_extrinsics(scene, identity),
        "observation/camera_type": _camera_type(scene, identity),
        "observation/controller_info": _controller_info(scene),
        "observation/robot_state": state,
        "observation/timestamp": {"skip_action": np.zeros(len(scene.row_seconds), dtype=bool)},
        "observation/timestamp/cameras": _camera_times(identity, clocks),
        "observation/timestamp/control": _control_times(scene, identity),
        "observation/timestamp/robot_state": _robot_times(scene, identity),
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(_attributes(scene, identity))
        for group, columns in groups.items():
            for name, values in columns.items():
                file.create_dataset(f"{group}/{name}", data=values, maxshape=(None, *values.shape[1:]))


def camera_extrinsics(scene: Scene, camera: str) -> Floats:
    """Poses (R, 6) of a camera's left eye, the one that is filmed, in the robot's base frame."""
    return six_from_pose(scene.cameras[camera].poses)


def _robot_state(scene: Scene) -> Columns:
    velocities = np.gradient(scene.joints, scene.row_seconds, axis=0)
    weight = 12.0 * np.sin(scene.joints + 0.4)
    return {
        "cartesian_position": six_from_pose(scene.hand_poses),
        "gripper_position": scene.gripper,
        "joint_positions": scene.joints,
        "joint_torques_computed": 0.4 * velocities,
        "joint_velocities": velocities,
        "motor_torques_measured": weight,
        "prev_command_successful": np.ones(len(scene.joints), dtype=bool),
        "prev_controller_latency_ms": np.full(len(scene.joints), 0.2),
        "prev_joint_torques_computed": 0.4 * velocities,
        "prev_joint_torques_computed_safened": 0.4 * velocities,
    }


def _action(scene: Scene, state: Columns) -> Columns:
    """What was commanded in each row: the state of the row after it; the last row commands no change."""
    following = np.minimum(np.arange(1, len(scene.joints) + 1), len(scene.joints) - 1)
    target, gripper = state["cartesian_position"][following], scene.gripper[following]
    turn = scene.hand_poses[following, :3, :3] @ np.swapaxes(scene.hand_poses[:, :3, :3], 1, 2)
    moved = scene.hand_poses[following, :3, 3] - scene.hand_poses[:, :3, 3]
    step = np.concatenate([moved, Rotation.from_matrix(turn).as_euler("xyz")], axis=1)
    return {
        "cartesian_position": target,
        "cartesian_velocity": np.clip(step / _LARGEST_STEP, -1.0, 1.0),
        "gripper_position": gripper,
        "gripper_velocity": np.clip((gripper - scene.gripper) / _LARGEST_GRIPPER_STEP, -1.0, 1.0),
        "joint_position": scene.joints[following],
        "joint_velocity": np.clip(
            (scene.joints[following] - scene.joints) / _LARGEST_JOINT_STEP_RADIANS, -1, 1
        ),
        "target_cartesian_position": target,
        "target_gripper_position": gripper,
    }


def _camera_extrinsics(scene: Scene, identity: Identity) -> Columns:
    columns: Columns = {}
    for name, serial in identity.serials().items():
        baseline = _WRIST_BASELINE_METRES if name == "wrist" else _EXTERIOR_BASELINE_METRES
        right_eye = translation(baseline, 0.0, 0.0)
        columns[f"{serial}_left"] = camera_extrinsics(scene, name)
        columns[f"{serial}_right"] = six_from_pose(scene.cameras[name].poses @ right_eye)
        if name == "wrist":
            in_hand = np.tile(wrist_camera_in_hand(), (len(scene.joints), 1, 1))
            columns[f"{serial}_left_gripper_offset"] = six_from_pose(in_hand)
            columns[f"{serial}_right_gripper_offset"] = six_from_pose(in_hand @ right_eye)
    return columns


def _camera_type(scene: Scene, identity: Identity) -> Columns:
    """0 for the wrist camera, 1 for an exterior one."""
    return {
        serial: np.full(len(scene.joints), int(name != "wrist"), dtype=np.int64)
        for name, serial in identity.serials().items()
    }


def _controller_info(scene: Scene) -> Columns:
    rows = len(scene.joints)
    # Success and failure are pressed after the last row and live in the file's attributes.
    flags = {"controller_on": True, "failure": False, "movement_enabled": True, "success": False}
    return {name: np.full(rows, flag) for name, flag in flags.items()}


def _camera_times(identity: Identity, clocks: Mapping[str, CameraClock]) -> Columns:
    columns: Columns = {}
    for name, serial in identity.serials().items():
        clock = clocks[name]
        columns[f"{serial}_estimated_capture"] = clock.estimated_capture
        columns[f"{serial}_frame_received"] = clock.frame_received
        columns[f"{serial}_read_end"] = clock.read_end
        columns[f"{serial}_read_start"] = clock.read_start
    return columns


def _control_times(scene: Scene, identity: Identity) -> Columns:
    start = milliseconds(scene.row_seconds, identity.start_ms)
    offsets_ms = {"step_start": 0, "policy_start": 30, "control_start": 32, "sleep_start": 36}
    columns: Columns = {name: start + offset for name, offset in offsets_ms.items()}
    columns["step_end"] = np.append(start[1:], start[-1] + round(1000 / ROW_HZ))
    return columns


def _robot_times(scene: Scene, identity: Identity) -> Columns:
    read = milliseconds(scene.row_seconds, identity.start_ms)
    nanos = np.rint(scene.row_seconds * 1e9).astype(np.int64)
    return {
        "read_end": read + 1,
        "read_start": read,
        "robot_timestamp_nanos": nanos % 10**9,
        "robot_timestamp_seconds": identity.start_ms // 1000 + nanos // 10**9,
    }


def _attributes(scene: Scene, identity: Identity) -> dict[str, object]:
    return {
        "building": identity.building,
        "controller_on": True,
        "current_task": scene.task,
        "failure": not scene.success,
        "fixed_tasks": [scene.task],
        "movement_enabled": True,
        "new_tasks": [scene.task],
        "robot_serial_number": identity.robot_serial,
        "scene_id": identity.scene_id,
        "success": scene.success,
        "time": identity.folder_time,
        "user": identity.user,
        "version_number": 1.3,
    }
