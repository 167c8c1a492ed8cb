"""DROID in its raw format: one folder an episode, with metadata, rows and one MP4 a camera.

Row i belongs to video frame i. Many videos lack the last frame (droid-dataset/droid#54), so rows and frames
may differ by one, and their common prefix is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurize.clock import MIN_CLIP_FRAMES, Clock, guaranteed_frames
from featurize.rejects import RejectReason, UnusableError, printable, rejecting
from featurize.sources.credit import attribution_of, licence_of
from featurize.sources.droid_folders import (
    METADATA_PREFIX,
    METADATA_SUFFIX,
    ROWS_FILE,
    listed_locations,
    metadata_names,
    walk_locations,
)
from featurize.sources.droid_metadata import find_video, read_metadata
from featurize.sources.droid_rows import CameraRows, read_rows
from featurize.sources.protocol import CameraStream, Episode, EpisodeRef
from featurize.sources.timestamps import check_capture_times
from featurize.video.probe import probe

MAX_LENGTH_DIFFERENCE = 1


@dataclass(frozen=True)
class DroidRaw:
    """The episodes under `root`, or those of them that `episode_list` names, one folder a line."""

    root: Path
    episode_list: Path | None = None

    name = "droid_raw"

    @property
    def attribution(self) -> str:
        """The collection's own, or DROID's; see `featurize.sources.credit`."""
        return attribution_of(self.root)

    @property
    def licence(self) -> str:
        """The same for the licence."""
        return licence_of(self.root)

    def episodes(self) -> Iterator[EpisodeRef]:
        """Every episode folder, by location, or in the order of the list. A listed folder need not exist."""
        listed = self.episode_list
        locations = listed_locations(self.root, listed) if listed else walk_locations(self.root)
        return (
            EpisodeRef(episode_id=self._episode_id(location), location=location) for location in locations
        )

    def load(self, ref: EpisodeRef, cameras: Sequence[str], clock: Clock) -> Episode:
        """Read and check one episode; see `Source.load`. Raises EpisodeRejected."""
        with rejecting(ref.episode_id, "index"):
            _ensure_text(ref.location)
            return _load(self.root / ref.location, ref, cameras, clock)

    def _episode_id(self, location: str) -> str:
        """The uuid in the name of the metadata file; the location where there is not one such name."""
        try:
            names = metadata_names(self.root / location)
        except OSError:
            return printable(location)
        uuids = [name.removeprefix(METADATA_PREFIX).removesuffix(METADATA_SUFFIX) for name in names]
        return printable((uuids[0] if len(uuids) == 1 else "") or location)


def _ensure_text(location: str) -> None:
    """The tables of a build are UTF-8, and a path that is not would not come back out of them."""
    if printable(location) != location:
        raise UnusableError(
            RejectReason.FOLDER_UNREADABLE, f"the name of its folder {location} is not UTF-8; rename it."
        )


def _load(folder: Path, ref: EpisodeRef, cameras: Sequence[str], clock: Clock) -> Episode:
    metadata = read_metadata(folder)
    video_paths = {camera: find_video(folder, metadata, camera) for camera in cameras}
    rows = read_rows(folder, [path.stem for path in video_paths.values()])
    streams = {
        camera: _open_stream(camera, path, rows.cameras[path.stem], len(rows.states_RA), clock)
        for camera, path in video_paths.items()
    }
    return Episode(
        ref=ref,
        lab=metadata.lab,
        success=metadata.success,
        task=metadata.current_task or "",
        states_RA=rows.states_RA,
        streams=streams,
    )


def _open_stream(
    camera: str, video_path: Path, rows: CameraRows, num_rows: int, clock: Clock
) -> CameraStream:
    facts = probe(video_path)
    num_frames = _common_length(video_path, facts.num_frames, num_rows)
    seconds, extrinsics = rows.capture_seconds_R, rows.extrinsics_R6
    stream = CameraStream(
        camera=camera,
        serial=video_path.stem,
        video_path=video_path,
        num_frames=num_frames,
        height_px=facts.height_px,
        width_px=facts.width_px,
        codec=facts.codec,
        nominal_hz=facts.nominal_hz,
        decoder=facts.decoder,
        decoder_reason=facts.decoder_reason,
        capture_seconds_R=None if seconds is None else seconds[:num_frames],
        extrinsics_R6=None if extrinsics is None else extrinsics[:num_frames],
    )
    check_capture_times(stream.capture_seconds_R, clock, f"camera {stream.serial}")
    _check_long_enough(stream, clock)
    return stream


def _common_length(video_path: Path, num_frames: int, num_rows: int) -> int:
    if abs(num_frames - num_rows) > MAX_LENGTH_DIFFERENCE:
        raise UnusableError(
            RejectReason.LENGTH_MISMATCH,
            f"video {video_path.name} has {num_frames} frames, {ROWS_FILE} has {num_rows} rows; "
            f"at most {MAX_LENGTH_DIFFERENCE} may be missing.",
        )
    return min(num_frames, num_rows)


def _check_long_enough(stream: CameraStream, clock: Clock) -> None:
    num_grid_frames = guaranteed_frames(
        clock,
        num_rows=stream.num_frames,
        capture_seconds_R=stream.capture_seconds_R,
        nominal_hz=stream.nominal_hz,
    )
    if num_grid_frames < MIN_CLIP_FRAMES:
        raise UnusableError(
            RejectReason.TOO_SHORT,
            f"its {stream.num_frames} rows give {num_grid_frames} frames on the {clock} clock; "
            f"one clip takes {MIN_CLIP_FRAMES}.",
        )
