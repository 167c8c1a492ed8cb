"""The rows of a DROID episode, out of its trajectory.h5.

Shape suffixes: R rows, A state size (7: xyz, Euler xyz, gripper), 6 a pose (xyz, Euler xyz).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from featurize.rejects import RejectReason, UnusableError
from featurize.sources.droid_folders import ROWS_FILE

POSE_KEY = "observation/robot_state/cartesian_position"
GRIPPER_KEY = "observation/robot_state/gripper_position"
CAPTURE_KEY = "observation/timestamp/cameras/{serial}_estimated_capture"
# The left eye of each stereo camera is the one in the MP4.
EXTRINSICS_KEY = "observation/camera_extrinsics/{serial}_left"
POSE_SIZE = 6
MILLISECONDS_PER_SECOND = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraRows:
    """What the rows say of one camera; None where they say nothing. Fields as in `CameraStream`."""

    capture_seconds_R: NDArray[np.float64] | None
    extrinsics_R6: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class DroidRows:
    """The rows of an episode; `cameras` by serial number."""

    states_RA: NDArray[np.float64]
    cameras: dict[str, CameraRows]


def read_rows(folder: Path, serials: Sequence[str]) -> DroidRows:
    """Read states, and capture times and extrinsics of these cameras. Raises UnusableError."""
    path = folder / ROWS_FILE
    if not path.is_file():
        raise UnusableError(RejectReason.H5_MISSING, f"expected {ROWS_FILE}, got no such file.")
    try:
        with h5py.File(path, "r") as file:
            states_RA = _read_states(file)
            cameras = {serial: _read_camera(file, serial, len(states_RA)) for serial in serials}
    except (OSError, RuntimeError, KeyError) as error:  # h5py knows no exception of its own
        raise UnusableError(RejectReason.H5_UNREADABLE, f"{ROWS_FILE} cannot be read: {error}.") from error
    return DroidRows(states_RA=states_RA, cameras=cameras)


def _read_states(file: h5py.File) -> NDArray[np.float64]:
    pose_dataset = _dataset(file, POSE_KEY)
    num_rows = pose_dataset.shape[0] if pose_dataset.shape else 0
    pose_R6 = _read_numbers(pose_dataset, (num_rows, POSE_SIZE))
    gripper_R = _read_numbers(_dataset(file, GRIPPER_KEY), (num_rows,))
    states_RA = np.concatenate([pose_R6, gripper_R[:, None]], axis=1)
    if not num_rows:
        raise UnusableError(RejectReason.TOO_SHORT, f"{ROWS_FILE} has no rows.")
    bad_rows = np.flatnonzero(~np.isfinite(states_RA).all(axis=1))
    if bad_rows.size:
        raise UnusableError(
            RejectReason.STATES_NOT_FINITE,
            f"{ROWS_FILE} has NaN or infinite states in {bad_rows.size} rows, the first is {bad_rows[0]}.",
        )
    return states_RA


def _read_camera(file: h5py.File, serial: str, num_rows: int) -> CameraRows:
    capture_seconds_R, extrinsics_R6 = None, None
    if (key := CAPTURE_KEY.format(serial=serial)) in file:
        capture_milliseconds_R = _read_numbers(_dataset(file, key), (num_rows,))
        with np.errstate(invalid="ignore"):  # infinite ones are refused with their reason, not with a warning
            capture_milliseconds_R -= capture_milliseconds_R[0]
        capture_seconds_R = capture_milliseconds_R / MILLISECONDS_PER_SECOND
    if (key := EXTRINSICS_KEY.format(serial=serial)) in file:
        extrinsics_R6 = _read_numbers(_dataset(file, key), (num_rows, POSE_SIZE)).astype(np.float32)
    return CameraRows(capture_seconds_R=capture_seconds_R, extrinsics_R6=extrinsics_R6)


def _dataset(file: h5py.File, key: str) -> h5py.Dataset:
    if key not in file or not isinstance(file[key], h5py.Dataset):
        raise UnusableError(RejectReason.H5_MISSING_KEY, f"{ROWS_FILE} has no data set {key!r}.")
    return file[key]


def _read_numbers(dataset: h5py.Dataset, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if dataset.shape != shape or dataset.dtype.kind not in "fiu":
        raise UnusableError(
            RejectReason.H5_MALFORMED,
            f"{ROWS_FILE} holds {dataset.name} as {dataset.dtype} {dataset.shape}; "
            f"expected numbers of shape {shape}.",
        )
    return np.asarray(dataset[()], dtype=np.float64)
