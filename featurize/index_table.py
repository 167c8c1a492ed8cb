"""The table that `index` hands to the steps after it: one row per usable camera stream."""

import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from featurize.clock import Clock, source_rows
from featurize.errors import StepOrderError
from featurize.recipe import Build
from featurize.sources.protocol import CameraStream, Episode
from store_schema.atomic import write_atomically
from store_schema.format import REJECTS_TABLE
from store_schema.tables import REJECT_SCHEMA, Reject, read_rejects, write_table

INDEX_TABLE: Final = "episodes.parquet"
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
# A worker looks up the few episodes of its slots, and reads no more than their groups.
ROW_GROUP_STREAMS: Final = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedStream:
    """One camera of one usable episode, as `plan` needs it.

    location: folder relative to the source. num_rows: after alignment of rows and video frames.
    capture_seconds: float64 (num_rows,), physical time of each row since the first; None where the source has
        none.
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
    capture_seconds: NDArray[np.float64] | None

    @classmethod
    def of(cls, episode: Episode, stream: CameraStream) -> "IndexedStream":
        """The facts of one stream of a loaded episode."""
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
            capture_seconds=stream.capture_seconds_R,
        )

    def is_same(self, other: "IndexedStream") -> bool:
        """Whether every field is equal."""
        return bool(_table([self]).equals(_table([other])))

    def rows_at(self, clock: Clock, phase: float) -> NDArray[np.int64]:
        """Which rows of the episode a trajectory of this phase stores, int64 (F,)."""
        return source_rows(
            clock,
            num_rows=self.num_rows,
            capture_seconds_R=self.capture_seconds,
            nominal_hz=self.nominal_hz,
            phase=phase,
        )


def write_index(build: Build, streams: Iterable[IndexedStream], rejects: Iterable[Reject]) -> None:
    """Write both outcomes of `index`, ordered so that the same source gives the same bytes.

    The rejects come first: killed in between, the index still lacks a mended episode and looks at it again.
    """
    in_order = sorted(rejects, key=lambda reject: (reject.episode_id, reject.detail))
    write_table(build.folder / REJECTS_TABLE, in_order, REJECT_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(_table(streams), buffer, row_group_size=ROW_GROUP_STREAMS, compression="zstd")
    write_atomically(build.folder / INDEX_TABLE, buffer.getvalue())


def is_as_indexed(build: Build, streams: Iterable[IndexedStream]) -> bool:
    """Whether `write_index` wrote these very streams."""
    return bool(_read(build).equals(_table(streams)))


def read_index(build: Build, episode_ids: Collection[str] | None = None) -> list[IndexedStream]:
    """The usable streams, all or those of some episodes. Raises StepOrderError before `index` has run."""
    return list(_streams(_read(build, episode_ids)))


def read_places(build: Build) -> dict[str, str]:
    """The folder of every usable episode by its id; none where `index` has not run."""
    if not is_indexed(build):
        return {}
    ids, locations = _read(build, columns=["episode_id", "location"]).select(["episode_id", "location"])
    return dict(zip(ids.to_pylist(), locations.to_pylist(), strict=True))


def is_indexed(build: Build) -> bool:
    """Whether there is a table of usable streams, of whatever recipe."""
    return (build.folder / INDEX_TABLE).is_file()


def read_locations(build: Build) -> list[str]:
    """The folder of every usable stream, relative to the source. Raises StepOrderError."""
    locations: list[str] = _read(build, columns=["location"]).column("location").to_pylist()
    return locations


def read_index_rejects(build: Build) -> tuple[Reject, ...]:
    """The episodes that `index` rejected."""
    return read_rejects(build.folder / REJECTS_TABLE)


def _table(streams: Iterable[IndexedStream]) -> pa.Table:
    assert set(INDEX_SCHEMA.names) == {field.name for field in fields(IndexedStream)}
    ordered = sorted(streams, key=lambda stream: (stream.episode_id, stream.camera))
    return pa.Table.from_pylist([asdict(stream) for stream in ordered], schema=INDEX_SCHEMA)


def _read(
    build: Build, episode_ids: Collection[str] | None = None, columns: list[str] | None = None
) -> pa.Table:
    if not is_indexed(build):
        raise StepOrderError(
            "The source has not been indexed; run `permafrost featurize --step index` first."
        )
    # Typed, because no ids at all would be an array of type null.
    asked = None if episode_ids is None else pa.array(sorted(episode_ids), pa.string())
    only = None if asked is None else pc.field("episode_id").isin(asked)
    return pq.read_table(build.folder / INDEX_TABLE, columns=columns, filters=only, partitioning=None)


def _streams(table: pa.Table) -> Iterator[IndexedStream]:
    """Group by group: as Python numbers the capture times would take four times their memory."""
    for batch in table.to_batches(max_chunksize=ROW_GROUP_STREAMS):
        for row in batch.to_pylist():
            seconds = row.pop("capture_seconds")
            yield IndexedStream(**row, capture_seconds=None if seconds is None else np.asarray(seconds))
