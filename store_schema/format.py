"""Format 1: the arrays of a store, their shapes, dtypes, chunks and fill values.

A shape is written with the letters F (frames of one slot), N (tokens a frame) and D (channels).
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FORMAT_VERSION: Final = 1
SLOT_FRAMES: Final = 128
STATE_SIZE: Final = 7
EXTRINSICS_SIZE: Final = 6
THUMBNAIL_SIZE_PX: Final = 64
CODE_FILL: Final = -128

ROOT_FILE: Final = "zarr.json"
ROOT_ATTRIBUTE: Final = "permafrost"
ROOT_HASH_ATTRIBUTE: Final = "permafrost_sha256"
"""SHA-256 of the root zarr.json, taken with this value blanked."""
TRAJECTORIES_TABLE: Final = "trajectories.parquet"
REJECTS_TABLE: Final = "rejects.parquet"
LEDGER_TABLE: Final = "ledger.parquet"
LEDGER_FOLDER: Final = "ledger"
BUILD_FOLDER: Final = "build"
"""Working files of a build; not part of the store's contents and not in its digest."""


class Quantisation(StrEnum):
    """How latents are stored."""

    INT8 = "int8"
    FLOAT16 = "float16"


@dataclass(frozen=True, kw_only=True)
class LatentShape:
    """Size of one encoded frame: `num_tokens` tokens of `width` channels."""

    num_tokens: int
    width: int


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """One array of the store as format 1 requires it.

    `item_shape` is the shape of one frame's entry; `sharded` arrays have one frame per chunk and one slot
    per shard, the others one slot per chunk. Arrays that are not `per_frame` hold one entry in one chunk.
    """

    name: str
    dimension_names: tuple[str, ...]
    item_shape: tuple[int, ...]
    dtype: str
    fill_value: float | int
    sharded: bool = False
    zstd_level: int | None = None
    per_frame: bool = True

    @property
    def item_bytes(self) -> int:
        """Bytes of one frame's entry, uncompressed."""
        itemsize = {"int8": 1, "uint8": 1, "float16": 2, "int32": 4, "float32": 4, "float64": 8}[self.dtype]
        return math.prod(self.item_shape) * itemsize

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """The unit of reading."""
        if not self.per_frame:
            return self.item_shape
        return (1 if self.sharded else SLOT_FRAMES, *self.item_shape)

    @property
    def shard_shape(self) -> tuple[int, ...] | None:
        """The unit of writing of a sharded array, otherwise None."""
        return (SLOT_FRAMES, *self.item_shape) if self.sharded else None

    def shape(self, num_slots: int) -> tuple[int, ...]:
        """Shape of the whole array in a store of `num_slots` slots."""
        return (num_slots * SLOT_FRAMES, *self.item_shape) if self.per_frame else self.item_shape


def array_specs(latent_shape: LatentShape, quantisation: Quantisation) -> dict[str, ArraySpec]:
    """Every array that a store of this latent shape and quantisation MUST hold, by name."""
    specs = (*_latent_specs(latent_shape, quantisation), *_row_specs())
    return {spec.name: spec for spec in specs}


def _latent_specs(latent_shape: LatentShape, quantisation: Quantisation) -> tuple[ArraySpec, ...]:
    num_tokens, width = latent_shape.num_tokens, latent_shape.width
    is_int8 = quantisation is Quantisation.INT8
    latents = ArraySpec(
        name="latents",
        dimension_names=("frame", "token", "channel"),
        item_shape=(num_tokens, width),
        dtype="int8" if is_int8 else "float16",
        fill_value=CODE_FILL if is_int8 else math.nan,
        sharded=True,
    )
    if not is_int8:
        return (latents,)
    scale = ArraySpec(
        name="token_scale",
        dimension_names=("frame", "token"),
        item_shape=(num_tokens,),
        dtype="float16",
        fill_value=math.nan,
    )
    return (latents, scale, _channel_spec("channel_mean", width), _channel_spec("channel_std", width))


def _channel_spec(name: str, width: int) -> ArraySpec:
    return ArraySpec(
        name=name,
        dimension_names=("channel",),
        item_shape=(width,),
        dtype="float32",
        fill_value=math.nan,
        per_frame=False,
    )


def _row_specs() -> tuple[ArraySpec, ...]:
    nan = math.nan
    thumbnail = (THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX, 3)
    return (
        ArraySpec(
            name="states",
            dimension_names=("frame", "state"),
            item_shape=(STATE_SIZE,),
            dtype="float32",
            fill_value=nan,
        ),
        ArraySpec(
            name="actions",
            dimension_names=("frame", "action"),
            item_shape=(STATE_SIZE,),
            dtype="float32",
            fill_value=nan,
        ),
        ArraySpec(
            name="timestamps_seconds",
            dimension_names=("frame",),
            item_shape=(),
            dtype="float64",
            fill_value=nan,
        ),
        ArraySpec(
            name="extrinsics",
            dimension_names=("frame", "pose"),
            item_shape=(EXTRINSICS_SIZE,),
            dtype="float32",
            fill_value=nan,
        ),
        ArraySpec(
            name="source_index", dimension_names=("frame",), item_shape=(), dtype="int32", fill_value=-1
        ),
        ArraySpec(
            name="thumbnails",
            dimension_names=("frame", "height", "width", "rgb"),
            item_shape=thumbnail,
            dtype="uint8",
            fill_value=0,
            sharded=True,
            zstd_level=3,
        ),
    )
