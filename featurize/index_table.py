"""The table that `index` hands to the steps after it: one row per usable camera stream."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from featurize.clock import Clock, source_rows
from featurize.errors import StepOrderError
from featurize.recipe import Build
from featurize.sources.protocol import CameraStream, Episode
from store_schema.format import REJECTS_TABLE
from store_schema.tables import REJECT_SCHEMA, Reject, read_parquet, read_rejects, write_parquet, write_table

INDEX_TABLE = "episodes.parquet"
INDEX_SCHEMA = pa.schema(
    [
        *[pa.field(name, pa.string(), nullable=False) for name in ("episode_id", "location", "lab", "task")],
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("camera", pa.string(), nullable=False),
        pa.field("decoder", pa.string(), nullable=False),
        *[pa.field(name, pa.int32(), nullable=False) for name in ("num_rows", "height_px", "width_px")],
        pa.field("nominal_hz", pa.float64(), nullable=False),
        pa.field("capture_seconds", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class IndexedStream:
    """One camera of one usable episode, as `plan` needs it.

    location: folder relative to the source. num_rows: after alignment of rows and video frames.
    capture_seconds: physical time of each row since the first; None where the source has none.
    """

    episode_id: str
    location: str
    lab: str
    task: str
    success: bool
    camera: str
    decoder: str
    num_rows: int
    height_px: int
    width_px: int
    nominal_hz: float
    capture_seconds: list[float] | None

    @classmethod
    def of(cls, episode: Episode, stream: CameraStream) -> "IndexedStream":
        """The facts of one stream of a loaded episode."""
        seconds = stream.capture_seconds_R
        return cls(
            episode_id=episode.ref.episode_id,
            location=episode.ref.location,
            lab=episode.lab,
            task=episode.task,
            success=episode.success,
            camera=stream.camera,
            decoder=stream.decoder,
            num_rows=stream.num_frames,
            height_px=stream.height_px,
            width_px=stream.width_px,
            nominal_hz=stream.nominal_hz,
            capture_seconds=None if seconds is None else seconds.tolist(),
        )

    def rows_at(self, clock: Clock, phase: float) -> NDArray[np.int64]:
        """Which rows of the episode a trajectory of this phase stores, int64 (F,)."""
        seconds = self.capture_seconds
        return source_rows(
            clock,
            num_rows=self.num_rows,
            capture_seconds_R=None if seconds is None else np.asarray(seconds),
            nominal_hz=self.nominal_hz,
            phase=phase,
        )


def write_index(build: Build, streams: Iterable[IndexedStream], rejects: Iterable[Reject]) -> None:
    """Write both outcomes of `index`, ordered so that the same source gives the same bytes."""
    assert set(INDEX_SCHEMA.names) == {field.name for field in fields(IndexedStream)}
    ordered = sorted(streams, key=lambda stream: (stream.episode_id, stream.camera))
    table = pa.Table.from_pylist([asdict(stream) for stream in ordered], schema=INDEX_SCHEMA)
    write_parquet(build.folder / INDEX_TABLE, table)
    in_order = sorted(rejects, key=lambda reject: (reject.episode_id, reject.detail))
    write_table(build.folder / REJECTS_TABLE, in_order, REJECT_SCHEMA)


def read_index(build: Build) -> list[IndexedStream]:
    """The usable streams. Raises StepOrderError before `index` has run."""
    path = build.folder / INDEX_TABLE
    if not path.is_file():
        raise StepOrderError("The source has not been indexed; run `permafrost featurize --step index` first.")
    return [IndexedStream(**row) for row in read_parquet(path, INDEX_SCHEMA).to_pylist()]


def read_index_rejects(build: Build) -> tuple[Reject, ...]:
    """The episodes that `index` rejected."""
    return read_rejects(build.folder / REJECTS_TABLE)
