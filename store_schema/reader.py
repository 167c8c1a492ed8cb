"""Reading clips of consecutive frames into preallocated buffers, checked against the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from store_schema.array_readers import ArrayReader, ByteRangeReader, TensorstoreReader
from store_schema.buffers import ClipBuffers
from store_schema.direct_io import passes_page_cache
from store_schema.errors import DamagedStoreError, MissingFramesError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import open_array
from store_schema.ledger_row import HASHED_ARRAYS, LedgerRow, frame_hash
from store_schema.object_store import stands_for
from store_schema.remote_files import problems_of_file
from store_schema.store import Store, address_to_slot

Entries = dict[str, NDArray[Any]]
CHECK_EVERY: Final = 64
"""After its first reading, a frame's hash is checked again at every so many."""


@dataclass
class ClipReader:
    """Reads consecutive frames of one store into preallocated buffers; safe to call from many threads.

    array_reader: `ByteRangeReader` on a local disk; `TensorstoreReader` does the same, slower, and is the
    way to object storage. A frame's hash is checked when it is first read, and at every 64th reading after
    that, so that damage that comes later is found too.
    """

    store: Store
    array_reader: ArrayReader

    def __post_init__(self) -> None:
        self._hashed = tuple(name for name in HASHED_ARRAYS if name in self.store.specs)
        # By address; 2 bytes each are 5 MB for a full DROID build.
        self._times_read = np.zeros(self.store.attributes.num_slots * SLOT_FRAMES, dtype=np.uint16)

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process it is new there, and checks every frame's hash itself."""
        return type(self), (self.store, self.array_reader)

    @classmethod
    def open(cls, store: Store) -> "ClipReader":
        """The fastest reader: past a page cache that cannot hold the store, or from object storage."""
        kvstore = stands_for(store.path)
        if kvstore is not None:
            return cls(store, TensorstoreReader(store, kvstore))
        return cls(store, ByteRangeReader(store, direct=passes_page_cache(store)))

    @property
    def is_cached(self) -> bool:
        """Whether the page cache is expected to hold what is read, so that few readers at once are enough."""
        return isinstance(self.array_reader, ByteRangeReader) and not self.array_reader.direct

    def read(self, first_frame: int, out: ClipBuffers, row: int) -> None:
        """Fill clip `row` of `out` with the consecutive frames from address `first_frame` on.

        Raises MissingFramesError where a frame is not stored or belongs to the next trajectory, and
        DamagedStoreError where its bytes have changed.
        """
        entries: Entries = {
            "latents": out.latents_BTND[row],
            "states": out.states_BTA[row],
            "actions": out.actions_BTA[row],
        }
        if out.token_scale_BTN is not None:
            entries["token_scale"] = out.token_scale_BTN[row]
        self.read_arrays(first_frame, entries)

    def read_arrays(self, first_frame: int, out: Entries) -> None:
        """Fill each array of `out`, contiguous (F, ...) with one common F; raises as `read` does.

        Hashes are over latents, scales, states and actions together: they are checked where `out` has all of
        these, otherwise only the sizes of the files are.
        """
        (num_frames,) = {len(entries) for entries in out.values()}
        for slot, start, stop, done in _spans(first_frame, num_frames):
            ledger_row = self._row(slot, stop, is_first=done == 0)
            part = {name: entries[done : done + stop - start] for name, entries in out.items()}
            for name, entries in part.items():
                self.array_reader.read_into(self.store.specs[name], slot, start, entries)
            self._verify(ledger_row, start, part)

    def thumbnails(self, first_frame: int, num_frames: int) -> NDArray[np.uint8]:
        """What the encoder saw, uint8 (F, 64, 64, 3) RGB; raises as `read` does.

        zarr-python shows a missing file as black frames, so each slot's file is compared with the ledger.
        From object storage such files are copied into the folder that stands for the store.
        """
        for slot, _, stop, done in _spans(first_frame, num_frames):
            row = self._row(slot, stop, is_first=done == 0)
            for problem in problems_of_file(self.store.path, self.store.specs["thumbnails"], row):
                raise DamagedStoreError(f"{problem.where}: {problem.detail}.")
        frames = open_array(self.store.path, "thumbnails")[first_frame : first_frame + num_frames]
        return np.asarray(frames, dtype=np.uint8)

    def _row(self, slot: int, stop: int, *, is_first: bool) -> LedgerRow:
        row = self.store.ledger.get(slot)
        if row is None or row.status != "written":
            held = "is not written"
        elif row.num_frames < stop:
            held = f"holds {row.num_frames} frames"
        elif not is_first and slot in self.store.first_slots:
            held = "begins another trajectory than the clip"
        else:
            return row
        raise MissingFramesError(
            f"Frame {stop - 1} of slot {slot} was asked for, but the slot {held}. "
            "Choose frames from `Store.trajectories`."
        )

    def _verify(self, row: LedgerRow, start: int, part: Entries) -> None:
        if not part.keys() >= set(self._hashed):
            return
        address_F = row.slot * SLOT_FRAMES + start + np.arange(len(part["latents"]))
        times_F = self._times_read[address_F[0] : address_F[-1] + 1]
        # Staggered by address: frames that were first read together are not checked together again.
        is_due_F = (times_F == 0) | ((times_F + address_F) % CHECK_EVERY == 0)
        for offset in np.flatnonzero(is_due_F).tolist():
            if frame_hash(part[name][offset] for name in self._hashed) != row.hash_of(start + offset):
                raise DamagedStoreError(
                    f"Frame {start + offset} of slot {row.slot} (episode {row.episode_id}) differs from what "
                    f"was written. `permafrost verify {self.store.path.name}` lists all damage."
                )
        # Wraps round to 0, which checks the hash once more.
        times_F += 1


def _spans(first_frame: int, num_frames: int) -> Iterator[tuple[int, int, int, int]]:
    """Slot, start, stop within it, and frames before it, for every slot that the clip touches."""
    done = 0
    while done < num_frames:
        slot, start = address_to_slot(first_frame + done)
        stop = min(start + num_frames - done, SLOT_FRAMES)
        yield slot, start, stop, done
        done += stop - start
