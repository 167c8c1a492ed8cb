"""The Zarr v3 group of a store: making it, checking it, and turning one slot into the bytes of its files.

zarr-python does all of the encoding, in memory; the bytes then go to disk whole. Its own writes are
read-modify-write on shards, where two writers lose data.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ZstdCodec
from zarr.storage import MemoryStore

from store_schema.atomic import write_atomically
from store_schema.errors import SchemaError, StoreNotFoundError
from store_schema.format import FORMAT_VERSION, ROOT_ATTRIBUTE, SLOT_FRAMES, ArraySpec

FrameArrays = dict[str, NDArray[Any]]


def create_group(path: Path, specs: dict[str, ArraySpec], num_slots: int, attributes: dict[str, Any]) -> None:
    """Write the metadata of an empty store; its root file comes last, so a killed call leaves no store."""
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(store_dict=files), zarr_format=3, attributes={ROOT_ATTRIBUTE: attributes})
    for spec in specs.values():
        _create_array(group, spec, num_slots)
    for key in sorted(files, key=lambda key: key == "zarr.json"):
        write_atomically(path / key, files[key].to_bytes())


def write_attributes(path: Path, attributes: dict[str, Any]) -> None:
    """Replace the root attributes atomically; only one process at a time may call this."""
    files: dict[str, Any] = {}
    zarr.create_group(MemoryStore(store_dict=files), zarr_format=3, attributes={ROOT_ATTRIBUTE: attributes})
    write_atomically(path / "zarr.json", files["zarr.json"].to_bytes())


def read_attributes(path: Path) -> dict[str, Any]:
    """The root attributes of the store at `path`. Raises StoreNotFoundError, SchemaError."""
    if not (path / "zarr.json").is_file():
        raise StoreNotFoundError(f"There is no feature store at {path}; `permafrost featurize` makes one.")
    attributes = open_group(path).attrs.asdict().get(ROOT_ATTRIBUTE)
    if not isinstance(attributes, dict):
        raise SchemaError(f"{path} is a Zarr group without the attribute '{ROOT_ATTRIBUTE}': not a feature store.")
    return attributes


def open_group(path: Path) -> zarr.Group:
    """The store as a read-only zarr-python group."""
    return zarr.open_group(path, mode="r", zarr_format=3)


def slot_files(specs: dict[str, ArraySpec], slot: int, frames: FrameArrays) -> dict[str, bytes]:
    """The bytes of the file that each per-frame array gets for one slot, by array name.

    frames: for every per-frame array the entries of the first `num_frames` (at most 128) frames.
    Raises SchemaError where an entry's shape or dtype is not the specified one.
    """
    return {
        name: _encode_slot(spec, np.ascontiguousarray(frames[name])) for name, spec in specs.items() if spec.per_frame
    }


def slot_path(spec: ArraySpec, slot: int) -> str:
    """Where the file of `slot` lies, relative to the store."""
    return "/".join([spec.name, "c", str(slot), *("0" for _ in spec.item_shape)])


def encode_whole(spec: ArraySpec, values: NDArray[Any]) -> tuple[str, bytes]:
    """Relative path and bytes of an array that is one chunk (the channel statistics)."""
    return f"{spec.name}/c/0", _encode(spec, values, shape=spec.item_shape)


def check_layout(path: Path, specs: dict[str, ArraySpec], num_slots: int) -> None:
    """Raise SchemaError at the first array that is missing, foreign or not as format 1 requires."""
    group = open_group(path)
    for name, spec in specs.items():
        if name not in group:
            raise SchemaError(f"Array '{name}' is missing; format {FORMAT_VERSION} requires it.")
        _check_array(group[name], spec, num_slots)


def _create_array(group: zarr.Group, spec: ArraySpec, num_slots: int) -> zarr.Array[Any]:
    return group.create_array(
        spec.name,
        shape=spec.shape(num_slots),
        chunks=spec.chunk_shape,
        shards=spec.shard_shape,
        dtype=spec.dtype,
        fill_value=spec.fill_value,
        dimension_names=spec.dimension_names,
        serializer=BytesCodec(endian="little" if np.dtype(spec.dtype).itemsize > 1 else None),
        compressors=None if spec.zstd_level is None else ZstdCodec(level=spec.zstd_level, checksum=True),
        filters=None,
        # zarr would drop a chunk that is all fill value: the NaN action that ends a trajectory.
        config={"write_empty_chunks": not spec.sharded or spec.zstd_level is not None},
    )


def _encode_slot(spec: ArraySpec, entries: NDArray[Any]) -> bytes:
    if entries.dtype != spec.dtype or entries.shape[1:] != spec.item_shape or not 0 < len(entries) <= SLOT_FRAMES:
        raise SchemaError(
            f"Slot of array '{spec.name}' is {entries.dtype} {entries.shape}; expected 1 to {SLOT_FRAMES} frames "
            f"of {spec.dtype} {spec.item_shape}."
        )
    return _encode(spec, entries, shape=(SLOT_FRAMES, *spec.item_shape))


def _encode(spec: ArraySpec, values: NDArray[Any], *, shape: tuple[int, ...]) -> bytes:
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(store_dict=files), zarr_format=3)
    array = _create_array(group, spec, num_slots=1)
    if array.shape != shape:
        raise SchemaError(f"Array '{spec.name}' has shape {array.shape}; expected {shape}.")
    # Only the frames that exist are written: the chunks after them take no bytes in a shard.
    array[: len(values)] = values
    (key,) = [key for key in files if key.startswith(f"{spec.name}/c/")]
    return bytes(files[key].to_bytes())


def _check_array(array: Any, spec: ArraySpec, num_slots: int) -> None:
    expected = {
        "shape": spec.shape(num_slots),
        "dtype": np.dtype(spec.dtype),
        "chunks": spec.chunk_shape,
        "shards": spec.shard_shape,
        "dimension names": spec.dimension_names,
    }
    found = {
        "shape": array.shape,
        "dtype": array.dtype,
        "chunks": array.chunks,
        "shards": array.shards,
        "dimension names": array.metadata.dimension_names,
    }
    for field, value in expected.items():
        if found[field] != value:
            raise SchemaError(
                f"Array '{spec.name}' has {field} {found[field]}; format {FORMAT_VERSION} requires {value}."
            )
    if not _same_fill(array.fill_value, spec.fill_value):
        raise SchemaError(
            f"Array '{spec.name}' has fill value {array.fill_value}; "
            f"format {FORMAT_VERSION} requires {spec.fill_value}."
        )
    _check_codecs(array, spec)


def _check_codecs(array: Any, spec: ArraySpec) -> None:
    """The codec chain decides where the bytes of a frame lie, so the byte-range reader depends on it."""
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(store_dict=files), zarr_format=3)
    required = _create_array(group, spec, num_slots=1).metadata.to_dict()["codecs"]
    found = array.metadata.to_dict()["codecs"]
    if found != required:
        raise SchemaError(
            f"Array '{spec.name}' has codecs {found}; format {FORMAT_VERSION} requires {required}."
        )


def _same_fill(found: Any, required: float | int) -> bool:
    return bool(found == required) or (math.isnan(required) and bool(np.isnan(found)))
