"""Every reader that is measured, by the name that it has in the table."""

from collections.abc import Mapping
from types import MappingProxyType

import our_readers as own
import peer_readers as peers
from our_readers import Open

from train.readers import CACHED_READERS, WAITING_READERS

LIMIT = "one-thread memcpy"
OURS = "ours, latents alone, 1 thread"
OURS_THREADS = f"ours, whole clips, {CACHED_READERS} threads"
OURS_DIRECT = f"ours, whole clips, {WAITING_READERS} threads, direct I/O"
SHUFFLED_SHARDS = "webdataset, shuffle buffer (no random access)"

READERS: Mapping[str, Open] = MappingProxyType(
    {
        LIMIT: own.memcpy,
        OURS: own.ours,
        "ours, whole clips, 1 thread": own.ours_whole_clips,
        OURS_THREADS: own.ours_threads,
        OURS_DIRECT: own.ours_direct,
        "np.memmap": peers.np_memmap,
        "HDF5 contiguous, read_direct": peers.hdf5_contiguous,
        "safetensors, get_slice": peers.safetensors_slices,
        "tensorstore, read in a Batch": peers.tensorstore_read,
        "tensorstore, into ts.array": peers.tensorstore_into_array,
        "tensorstore, into ts.array, mapped": peers.tensorstore_mapped,
        "zarr-python, into the batch": peers.zarr_python,
        "zarr-python, asyncio.gather": peers.zarr_python_gathered,
        "webdataset, in shard order (no random access)": peers.webdataset_in_order,
        SHUFFLED_SHARDS: peers.webdataset_shuffled,
        "litdata, every 16th window": peers.litdata_samples,
        "mosaicml-streaming, every 16th window": peers.mosaic_samples,
    }
)

HAS_THREADS = frozenset(name for name in READERS if name.startswith(("tensorstore", "zarr-python")))
"""Peers that read a batch by threads of their own; they are compared with ours that does so too."""
