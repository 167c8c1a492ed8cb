"""The rows of a DROID episode, out of its trajectory.h5.

Shape suffixes: R rows, A state size (7: xyz, Euler xyz, gripper), 6 a pose (xyz, Euler xyz).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from featurize.rejects import RejectReason, UnusableError
from featurize.sources.droid_folders import ROWS_FILE, is_regular_file, leads_outside
from store_schema.actions import GRIPPER_RANGE, is_out_of_range

POSE_KEY = "observation/robot_state/cartesian_position"
GRIPPER_KEY = "observation/robot_state/gripper_position"
CAPTURE_KEY = "observation/timestamp/cameras/{serial}_estimated_capture"
# The left eye of each stereo camera is the one in the MP4.
EXTRINSICS_KEY = "observation/camera_extrinsics/{serial}_left"
POSE_SIZE = 6
MILLISECONDS_PER_SECOND = 1000
# 18 hours at 15 Hz. A shape is only a claim: a file of 2 KB may claim terabytes.
MAX_ROWS: Final = 1_000_000
# h5py has no exception of its own: what it raises depends on the byte that is wrong.
H5PY_ERRORS: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)


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
    if leads_outside(folder, path):
        raise UnusableError(
            RejectReason.FILE_OUTSIDE_EPISODE, f"{ROWS_FILE} links to a file outside the episode's folder."
        )
    if not is_regular_file(path):
        raise UnusableError(RejectReason.H5_MISSING, f"expected {ROWS_FILE}, got no such file.")
    try:
        with h5py.File(path, "r") as file:
            states_RA = _read_states(file)
            cameras = {serial: _read_camera(file, serial, len(states_RA)) for serial in serials}
    except H5PY_ERRORS as error:
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
    _check_finite(states_RA)
    _check_range(states_RA)
    return states_RA


def _check_finite(states_RA: NDArray[np.float64]) -> None:
    """As they are stored, in float32, and so that the change between any two of them is finite too."""
    largest = np.finfo(np.float32).max / 2
    bad_rows = np.flatnonzero(~(np.abs(states_RA) <= largest).all(axis=1))
    if bad_rows.size:
        raise UnusableError(
            RejectReason.STATES_NOT_FINITE,
            f"{ROWS_FILE} has NaN or infinite states in {bad_rows.size} rows, the first is {bad_rows[0]}. "
            f"Numbers beyond {largest:.1e} count as infinite.",
        )


def _check_range(states_RA: NDArray[np.float64]) -> None:
    bad_rows = np.flatnonzero(is_out_of_range(states_RA).any(axis=1))
    if bad_rows.size:
        least, most = GRIPPER_RANGE
        raise UnusableError(
            RejectReason.STATES_OUT_OF_RANGE,
            f"{ROWS_FILE} has states out of range in {bad_rows.size} rows, the first is {bad_rows[0]}: "
            f"{states_RA[bad_rows[0]].tolist()}. Expected Euler angles in radians within +-pi and a gripper "
            f"within {least}..{most}.",
        )


def _read_camera(file: h5py.File, serial: str, num_rows: int) -> CameraRows:
    capture_seconds_R, extrinsics_R6 = None, None
    if (capture := _find(file, CAPTURE_KEY.format(serial=serial))) is not None:
        capture_milliseconds_R = _read_numbers(capture, (num_rows,))
        # Those too large are refused with their reason, not with a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            capture_milliseconds_R -= capture_milliseconds_R[0]
        capture_seconds_R = capture_milliseconds_R / MILLISECONDS_PER_SECOND
    if (extrinsics := _find(file, EXTRINSICS_KEY.format(serial=serial))) is not None:
        extrinsics_R6 = _read_extrinsics(extrinsics, num_rows)
    return CameraRows(capture_seconds_R=capture_seconds_R, extrinsics_R6=extrinsics_R6)


def _read_extrinsics(dataset: h5py.Dataset, num_rows: int) -> NDArray[np.float32]:
    """NaN says that there is none. Anything else is a number that float32 holds."""
    with np.errstate(over="ignore"):
        extrinsics_R6 = _read_numbers(dataset, (num_rows, POSE_SIZE)).astype(np.float32)
    if np.isinf(extrinsics_R6).any():
        raise UnusableError(
            RejectReason.H5_MALFORMED, f"{ROWS_FILE} holds infinite numbers in {dataset.name}."
        )
    return extrinsics_R6


def _dataset(file: h5py.File, key: str) -> h5py.Dataset:
    dataset = _find(file, key)
    if dataset is None:
        raise _missing(key)
    return dataset


def _find(file: h5py.File, key: str) -> h5py.Dataset | None:
    """The data set at `key`, None where there is nothing. Links are refused: they may lead to any file."""
    node: h5py.Group | h5py.Dataset = file
    for name in key.split("/"):
        link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise _not_here(f"a {type(link).__name__} at {name!r} on the way to {key}")
        node = node[name]
    if not isinstance(node, h5py.Dataset):
        raise _missing(key)
    if node.is_virtual or node.external:
        raise _not_here(f"{key} in another file")
    return node


def _missing(key: str) -> UnusableError:
    return UnusableError(RejectReason.H5_MISSING_KEY, f"{ROWS_FILE} has no data set {key!r}.")


def _not_here(what: str) -> UnusableError:
    return UnusableError(
        RejectReason.H5_MALFORMED, f"{ROWS_FILE} holds {what}; expected the values themselves."
    )


def _read_numbers(dataset: h5py.Dataset, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if shape[0] > MAX_ROWS:
        raise UnusableError(
            RejectReason.H5_MALFORMED,
            f"{ROWS_FILE} claims {shape[0]} rows in {dataset.name}; expected at most {MAX_ROWS}.",
        )
    if dataset.shape != shape or dataset.dtype.kind not in "fiu":
        raise UnusableError(
            RejectReason.H5_MALFORMED,
            f"{ROWS_FILE} holds {dataset.name} as {dataset.dtype} {dataset.shape}; "
            f"expected numbers of shape {shape}.",
        )
    return np.asarray(dataset[()], dtype=np.float64)
