"""The Zarr v3 group of a store: making it, opening it, and turning one slot into the bytes of its files.

zarr-python does all of the encoding, in memory; the bytes then go to disk whole. Its own writes are
read-modify-write on shards, where two writers lose data.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ZstdCodec
from zarr.storage import LocalStore, MemoryStore

from store_schema.atomic import write_atomically
from store_schema.errors import SchemaError, StoreNotFoundError
from store_schema.format import (
    CODE_FILL,
    FORMAT_VERSION,
    ROOT_ATTRIBUTE,
    ROOT_FILE,
    ROOT_HASH_ATTRIBUTE,
    SLOT_FRAMES,
    ArraySpec,
)
from store_schema.root_hash import BLANK, root_sha256
from store_schema.rules.group import root_problems

FrameArrays = dict[str, NDArray[Any]]
# zarr-python has no exception of its own for metadata: what it raises depends on the byte that is wrong.
METADATA_ERRORS: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def create_group(path: Path, specs: dict[str, ArraySpec], num_slots: int, attributes: dict[str, Any]) -> None:
    """Write the metadata of an empty store; its root file comes last, so a killed call leaves no store."""
    write_arrays(path, specs, num_slots)
    write_attributes(path, attributes)


def write_arrays(path: Path, specs: dict[str, ArraySpec], num_slots: int) -> None:
    """Write each array's metadata for `num_slots` slots, a file after the other."""
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(store_dict=files), zarr_format=3)
    for spec in specs.values():
        create_array(group, spec, num_slots)
    for key in sorted(files.keys() - {ROOT_FILE}):
        write_atomically(path / key, files[key].to_bytes())


def write_attributes(path: Path, attributes: dict[str, Any]) -> None:
    """Replace the root attributes atomically; only one process at a time may call this."""
    files: dict[str, Any] = {}
    both = {ROOT_ATTRIBUTE: attributes, ROOT_HASH_ATTRIBUTE: BLANK}
    zarr.create_group(MemoryStore(store_dict=files), zarr_format=3, attributes=both)
    blank = files[ROOT_FILE].to_bytes()
    # With its name before it: a licence may hold a rule of hyphens too.
    field = f'"{ROOT_HASH_ATTRIBUTE}": "%s"'
    assert blank.count((field % BLANK).encode()) == 1
    whole = blank.replace((field % BLANK).encode(), (field % root_sha256(blank)).encode())
    write_atomically(path / ROOT_FILE, whole)


def read_attributes(path: Path) -> dict[str, Any]:
    """The root attributes of the store at `path`. Raises StoreNotFoundError, SchemaError."""
    if not (path / ROOT_FILE).is_file():
        raise StoreNotFoundError(f"There is no feature store at {path}; `permafrost featurize` makes one.")
    data = (path / ROOT_FILE).read_bytes()
    for problem in root_problems(data):
        raise SchemaError(problem.detail)
    attributes: dict[str, Any] = json.loads(data)["attributes"][ROOT_ATTRIBUTE]
    return attributes


class _ArraysOnly(LocalStore):
    """Hides tables and ledger from listings, where zarr-python warns about all that is not Zarr."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        async for name in super().list_dir(prefix):
            if prefix or (self.root / name / "zarr.json").is_file():
                yield name


def open_group(path: Path) -> zarr.Group:
    """The store as a read-only zarr-python group. Raises SchemaError where its root metadata is damaged."""
    try:
        return zarr.open_group(_ArraysOnly(path, read_only=True), mode="r", zarr_format=3)
    except (OSError, ValueError, TypeError) as error:
        raise SchemaError(f"{path / ROOT_FILE} is not the metadata of a Zarr group: {error}.") from error


def open_array(path: Path, name: str) -> zarr.Array[Any]:
    """One array of the store as a read-only zarr-python array. Raises SchemaError."""
    return _array_of(open_group(path), name)


def slot_files(specs: dict[str, ArraySpec], slot: int, frames: FrameArrays) -> dict[str, bytes]:
    """The bytes of the file that each per-frame array gets for one slot, by array name.

    frames: for every per-frame array the entries of the first `num_frames` (at most 128) frames.
    Raises SchemaError where an array is missing, unknown, of another shape or dtype, or holds values that
    mean "nothing here".
    """
    required = {name: spec for name, spec in specs.items() if spec.per_frame}
    if frames.keys() != required.keys():
        raise SchemaError(f"Slot {slot} has arrays {sorted(frames)}; format 1 requires {sorted(required)}.")
    return {name: _encode_slot(spec, slot, frames[name]) for name, spec in required.items()}


def slot_path(spec: ArraySpec, slot: int) -> str:
    """Where the file of `slot` lies, relative to the store."""
    return "/".join([spec.name, "c", str(slot), *("0" for _ in spec.item_shape)])


def encode_whole(spec: ArraySpec, values: NDArray[Any]) -> tuple[str, bytes]:
    """Relative path and bytes of an array that is one chunk (the channel statistics). Raises SchemaError."""
    if values.dtype != spec.dtype or values.shape != spec.item_shape:
        raise SchemaError(
            f"Array '{spec.name}' is {values.dtype} {values.shape}; expected {spec.dtype} {spec.item_shape}."
        )
    return f"{spec.name}/c/0", _encode(spec, values)


def _array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    try:
        array = group[name]
    except KeyError as error:
        raise SchemaError(
            f"Array '{name}' is missing, or a field of its zarr.json; format {FORMAT_VERSION} requires it."
        ) from error
    except (OSError, *METADATA_ERRORS) as error:
        raise SchemaError(f"{name}/zarr.json is not the metadata of a Zarr array: {error}.") from error
    if not isinstance(array, zarr.Array):
        raise SchemaError(f"'{name}' is a Zarr group; format {FORMAT_VERSION} requires an array.")
    return array


def create_array(group: zarr.Group, spec: ArraySpec, num_slots: int) -> zarr.Array[Any]:
    """An array as format 1 requires it."""
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


def _encode_slot(spec: ArraySpec, slot: int, entries: NDArray[Any]) -> bytes:
    is_entry = entries.dtype == spec.dtype and entries.shape[1:] == spec.item_shape
    if not is_entry or not 0 < len(entries) <= SLOT_FRAMES:
        raise SchemaError(
            f"Slot {slot} of array '{spec.name}' is {entries.dtype} {entries.shape}; "
            f"expected 1 to {SLOT_FRAMES} frames of {spec.dtype} {spec.item_shape}."
        )
    if spec.name in ("latents", "token_scale") and _holds_fill(entries):
        raise SchemaError(
            f"Slot {slot} of array '{spec.name}' holds {CODE_FILL}, NaN or infinite values; "
            "codes lie within +-127, latents and scales are finite."
        )
    return _encode(spec, entries)


def _holds_fill(entries: NDArray[Any]) -> bool:
    """A frame of nothing but fill value would take no bytes in its shard and move those after it."""
    if entries.dtype == np.int8:
        return int(entries.min()) == CODE_FILL
    return not bool(np.isfinite(entries).all())


def _encode(spec: ArraySpec, values: NDArray[Any]) -> bytes:
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(store_dict=files), zarr_format=3)
    array = create_array(group, spec, num_slots=1)
    # Only the frames that exist are written: the chunks after them take no bytes in a shard.
    array[: len(values)] = values
    (key,) = [key for key in files if key.startswith(f"{spec.name}/c/")]
    return bytes(files[key].to_bytes())
