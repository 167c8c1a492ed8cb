"""The metadata of the arrays: what decides in which file, and where in it, the bytes of a frame lie."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore

from store_schema.errors import SchemaError
from store_schema.format import (
    FORMAT_VERSION,
    SLOT_FRAMES,
    ArraySpec,
    LatentShape,
    Quantisation,
    array_specs,
)
from store_schema.layout import METADATA_ERRORS, create_array, open_array
from store_schema.problem import Problem


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundArray:
    """An array of a store of `num_slots` slots, and one as format 1 requires it; both of zarr-python."""

    spec: ArraySpec
    array: Any
    required: Any
    num_slots: int


def array_problems(path: Path, specs: Mapping[str, ArraySpec], num_slots: int) -> Iterator[Problem]:
    """What is wrong with the arrays that format 1 requires; others are let be."""
    for spec in specs.values():
        missing = list(is_an_array(path, spec))
        yield from missing
        if not missing:
            array = open_array(path, spec.name)
            required = create_array(zarr.create_group(MemoryStore(), zarr_format=3), spec, num_slots=1)
            found = FoundArray(spec=spec, array=array, required=required, num_slots=num_slots)
            for validator in VALIDATORS:
                yield from validator(found)


def specs_of_latents(path: Path) -> dict[str, ArraySpec] | None:
    """The arrays of a store whose root file is lost, by the metadata of `latents`; None where that is too."""
    try:
        array = zarr.open_array(path / "latents", mode="r", zarr_format=3)
        _, num_tokens, width = array.shape
        shape = LatentShape(num_tokens=num_tokens, width=width)
        return array_specs(shape, Quantisation(str(array.dtype)))
    except (OSError, *METADATA_ERRORS):
        return None


def is_an_array(path: Path, spec: ArraySpec) -> Iterator[Problem]:
    """A1. The group MUST hold every array of this table, as a Zarr v3 array; others are ignored."""
    try:
        open_array(path, spec.name)
    except SchemaError as error:
        yield Problem(kind="wrong_array", where=_where(spec), detail=str(error))


def has_shape(found: FoundArray) -> Iterator[Problem]:
    """A2. A per-frame array MUST have a first dimension of whole slots, `num_slots` x 128 frames or more."""
    length = found.array.shape[0] // SLOT_FRAMES if found.array.shape else 0
    required = found.spec.shape(max(found.num_slots, length))
    yield from _compare(found, "shape", found.array.shape, required)


def has_dtype(found: FoundArray) -> Iterator[Problem]:
    """A3. Every array MUST have the dtype of this table."""
    yield from _compare(found, "dtype", found.array.dtype, np.dtype(found.spec.dtype))


def has_chunks(found: FoundArray) -> Iterator[Problem]:
    """A4. Plain arrays MUST have chunks of 128 frames; sharded ones chunks of 1 and shards of 128 frames."""
    yield from _compare(found, "chunks", found.array.chunks, found.spec.chunk_shape)
    yield from _compare(found, "shards", found.array.shards, found.spec.shard_shape)


def has_dimension_names(found: FoundArray) -> Iterator[Problem]:
    """A5. Every array MUST have the dimension names of this table."""
    names = found.array.metadata.dimension_names
    yield from _compare(found, "dimension names", names, found.spec.dimension_names)


def has_codecs(found: FoundArray) -> Iterator[Problem]:
    """A6. Every array MUST have the codecs of its kind, as listed below, and no others."""
    yield from _compare_metadata(found, "codecs")


def has_chunk_keys(found: FoundArray) -> Iterator[Problem]:
    """A7. Chunk keys MUST be of the default encoding with separator `/`."""
    yield from _compare_metadata(found, "chunk_key_encoding")


def has_fill_value(found: FoundArray) -> Iterator[Problem]:
    """A8. Every array MUST have the fill value of this table."""
    value, required = found.array.fill_value, found.spec.fill_value
    if not (value == required or (math.isnan(required) and np.isnan(value))):
        yield _problem(found, "fill value", value, required)


VALIDATORS = (
    has_shape,
    has_dtype,
    has_chunks,
    has_dimension_names,
    has_codecs,
    has_chunk_keys,
    has_fill_value,
)


def _compare_metadata(found: FoundArray, field: str) -> Iterator[Problem]:
    ours, theirs = (array.metadata.to_dict()[field] for array in (found.array, found.required))
    yield from _compare(found, field.replace("_", " "), ours, theirs)


def _compare(found: FoundArray, field: str, value: Any, required: Any) -> Iterator[Problem]:
    if value != required:
        yield _problem(found, field, value, required)


def _problem(found: FoundArray, field: str, value: Any, required: Any) -> Problem:
    detail = (
        f"Array '{found.spec.name}' has {field} {value}; format {FORMAT_VERSION} requires {required}. "
        f"Restore {_where(found.spec)} from a copy."
    )
    return Problem(kind="wrong_array", where=_where(found.spec), detail=detail)


def _where(spec: ArraySpec) -> str:
    return f"{spec.name}/zarr.json"
