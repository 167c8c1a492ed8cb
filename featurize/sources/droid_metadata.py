"""The metadata file of a DROID episode, and the video files it names.

Fields as the DROID postprocessing writes them (droid-dataset/droid, droid/postprocessing/schema.py): left and
right are the two exterior cameras as seen from the robot's base, and a path is null where the conversion to
MP4 failed.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from featurize.rejects import RejectReason, UnusableError
from featurize.sources.droid_folders import is_regular_file, leads_outside, metadata_names

MP4_FOLDER = "recordings/MP4"
# DROID's are 2 KB long.
MAX_METADATA_BYTES: Final = 2**20

# A NUL would make the operating system's calls fail, not find nothing.
FilePath = Annotated[str, Field(pattern=r"^[^\x00]+$")]


class DroidMetadata(BaseModel):
    """The fields we read; foreign data may hold any others."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    lab: str
    success: bool
    current_task: str | None = None
    left_mp4_path: FilePath | None = None
    right_mp4_path: FilePath | None = None
    wrist_mp4_path: FilePath | None = None

    def mp4_path(self, camera: str) -> str | None:
        """The path of a camera's video, relative to the collection that the episode came from."""
        paths = {"left": self.left_mp4_path, "right": self.right_mp4_path, "wrist": self.wrist_mp4_path}
        return paths[camera]


def read_metadata(folder: Path) -> DroidMetadata:
    """Read the one metadata file of an episode folder. Raises UnusableError."""
    try:
        names = metadata_names(folder)
    except OSError as error:
        raise UnusableError(
            RejectReason.FOLDER_UNREADABLE, f"its folder cannot be listed: {error.strerror}."
        ) from error
    if not names:
        raise UnusableError(RejectReason.NO_METADATA, "expected one metadata_*.json, got none.")
    if len(names) > 1:
        raise UnusableError(
            RejectReason.TWO_METADATA, f"expected one metadata_*.json, got {', '.join(names)}."
        )
    try:
        return DroidMetadata.model_validate_json(_read(folder, names[0]))
    except ValidationError as error:
        raise UnusableError(RejectReason.METADATA_INVALID, f"{names[0]}: {_faults(error)}.") from error
    except OSError as error:
        raise UnusableError(
            RejectReason.METADATA_INVALID, f"{names[0]} cannot be read: {error.strerror}."
        ) from error


def find_video(folder: Path, metadata: DroidMetadata, camera: str) -> Path:
    """The video of a camera inside the episode's folder. Raises UnusableError.

    The recorded path starts at a collection that is not here, so only what follows `recordings/MP4/` counts.
    A path that is absolute, climbs with `..` or ends outside through a link is refused.
    """
    recorded = metadata.mp4_path(camera)
    if recorded is None:
        raise UnusableError(
            RejectReason.VIDEO_MISSING, f"its metadata names no video: {camera}_mp4_path is not set."
        )
    path = folder / MP4_FOLDER / recorded.split(f"{MP4_FOLDER}/")[-1]
    climbs = PurePosixPath(recorded).is_absolute() or ".." in PurePosixPath(recorded).parts
    if climbs or leads_outside(folder, path):
        raise UnusableError(
            RejectReason.VIDEO_OUTSIDE_EPISODE,
            f"{camera}_mp4_path {recorded!r} leaves the episode's folder; expected a file in {MP4_FOLDER}.",
        )
    if not is_regular_file(path):
        raise UnusableError(
            RejectReason.VIDEO_MISSING, f"expected the video {MP4_FOLDER}/{path.name}, got no such file."
        )
    return path


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if leads_outside(folder, path):
        raise UnusableError(
            RejectReason.FILE_OUTSIDE_EPISODE, f"{name} links to a file outside the episode's folder."
        )
    if path.exists() and not path.is_dir() and not path.is_file():  # reading a pipe would wait for ever
        raise UnusableError(RejectReason.METADATA_INVALID, f"{name} is a pipe or a device; expected a file.")
    with path.open("rb") as file:
        content = file.read(MAX_METADATA_BYTES + 1)
    if len(content) > MAX_METADATA_BYTES:
        raise UnusableError(
            RejectReason.METADATA_INVALID,
            f"{name} has {path.stat().st_size} bytes; expected at most {MAX_METADATA_BYTES}.",
        )
    return content


def _faults(error: ValidationError) -> str:
    """Every fault in one line: field, what was expected, what was there."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
        + (f", got {fault['input']!r}" if fault["type"] not in ("missing", "json_invalid") else "")
        for fault in error.errors(include_url=False)
    )
