"""What the bytes of single frames hold, looked at while the file of their slot is read."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store_schema.format import CODE_FILL, ArraySpec
from store_schema.ledger_row import LedgerRow
from store_schema.problem import Problem


def frame_problems(spec: ArraySpec, row: LedgerRow, place: int, block: bytes) -> Iterator[Problem]:
    """What is wrong with the entry of frame `place` of a slot, 0 to 127."""
    is_frame = place < row.num_frames
    if spec.sharded and not is_frame:
        return  # the index
    entry = np.frombuffer(block, dtype=spec.dtype)
    if not is_frame:
        faults = is_empty(entry, spec)
    elif spec.name == "latents":
        faults = has_latents(entry)
    elif spec.name == "token_scale":
        faults = has_scales(entry)
    else:
        return
    for fault in faults:
        where = f"slot {row.slot}, array {spec.name}"
        yield Problem(kind="wrong_value", where=where, detail=f"Frame {place} {fault}", slot=row.slot)


def has_latents(entry: NDArray[Any]) -> Iterator[str]:
    """V1. Codes MUST lie within -127..127, and float16 latents MUST be finite."""
    if entry.dtype == np.int8 and int(entry.min()) == CODE_FILL:
        yield f"holds the code {CODE_FILL}."
    if entry.dtype == np.float16 and not np.isfinite(entry).all():
        yield "holds latents that are NaN or infinite."


def has_scales(entry: NDArray[Any]) -> Iterator[str]:
    """V2. Token scales MUST be finite and not negative."""
    if not (np.isfinite(entry) & (entry >= 0)).all():
        yield "holds token scales that are negative, NaN or infinite."


def is_empty(entry: NDArray[Any], spec: ArraySpec) -> Iterator[str]:
    """V3. In plain arrays the addresses after the last frame of a slot MUST hold fill values."""
    fill = np.array(spec.fill_value, dtype=spec.dtype)
    if not np.array_equal(entry, np.broadcast_to(fill, entry.shape), equal_nan=entry.dtype.kind == "f"):
        yield "holds values, though the slot has fewer frames."
