"""One context manager per way of handing batches over: opened, it gives a function for the next batch.

Everybody has two workers (threads for ours, processes for the loaders of PyTorch, as they are meant to be
used) and ends with an int8 batch (B, T, N, D) in the training process.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import repeat
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from peer_readers import SHUFFLE_BUFFER
from same_windows import WINDOW_KEY, SameWindows
from torch.utils.data import DataLoader, Dataset

from train.reader_processes import reading_processes
from train.readers import OpenRing, reading_threads
from train.stream import StoreClips

NextBatch = Callable[[], object]
OpenLoader = Callable[[SameWindows, int], AbstractContextManager[NextBatch]]

WORKERS = 2


@contextmanager
def ours_threads(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """Training's stream of whole clips, read by threads."""
    with _ours(windows, batch, partial(reading_threads, num_readers=WORKERS)) as batches:
        yield batches


@contextmanager
def ours_processes(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """The same, read by processes."""
    with _ours(windows, batch, partial(reading_processes, num_readers=WORKERS)) as batches:
        yield batches


@contextmanager
def _ours(windows: SameWindows, batch: int, open_ring: OpenRing) -> Iterator[NextBatch]:
    rng = np.random.default_rng(0)
    addresses = (windows.draw(rng, batch) for _ in repeat(None))
    # On 'meta' what a device does with a batch that is ready for it costs nothing.
    supply = StoreClips(store=windows.store, device=torch.device("meta"), open_ring=open_ring)
    with supply.stream(addresses, clip_frames=windows.window_frames, max_clips=batch) as stream:
        yield lambda: next(stream)


class _MappedWindows(Dataset[torch.Tensor]):
    """Any window of a memory-mapped file."""

    def __init__(self, windows: SameWindows) -> None:
        self._latents_FND = np.load(windows.flat_file, mmap_mode="r")
        self._frames = windows.window_frames

    def __len__(self) -> int:
        return len(self._latents_FND) - self._frames + 1

    def __getitem__(self, first: int) -> torch.Tensor:
        return torch.from_numpy(np.array(self._latents_FND[first : first + self._frames]))


@contextmanager
def torch_loader(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """torch's DataLoader over np.memmap."""
    with _endless(DataLoader(_MappedWindows(windows), batch, shuffle=True, num_workers=WORKERS)) as batches:
        yield batches


@contextmanager
def webdataset_loader(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """webdataset's WebLoader, shards and a buffer shuffled, batches made by the workers."""
    import webdataset

    shards = [str(path) for path in windows.tar_shards]
    data = webdataset.WebDataset(shards, shardshuffle=len(shards), nodesplitter=None).repeat()
    data = data.shuffle(SHUFFLE_BUFFER).map(lambda sample: _tensor(sample[WINDOW_KEY], windows))
    data = data.batched(batch, collation_fn=torch.stack)
    with _endless(webdataset.WebLoader(data, batch_size=None, num_workers=WORKERS)) as batches:
        yield batches


@contextmanager
def litdata_loader(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """litdata's StreamingDataLoader, shuffled."""
    from litdata import StreamingDataLoader, StreamingDataset

    data = StreamingDataset(
        str(windows.litdata_folder),
        shuffle=True,
        transform=lambda sample: _tensor(sample["window"], windows),
    )
    with _endless(StreamingDataLoader(data, batch_size=batch, num_workers=WORKERS)) as batches:
        yield batches


@contextmanager
def mosaic_loader(windows: SameWindows, batch: int) -> Iterator[NextBatch]:
    """mosaicml-streaming's StreamingDataset in a DataLoader, shuffled."""
    from streaming import StreamingDataset

    class Windows(StreamingDataset):
        def __getitem__(self, at: Any) -> Any:
            return _tensor(super().__getitem__(at)["window"], windows)

    data = Windows(local=str(windows.mosaic_folder), shuffle=True, batch_size=batch)
    with _endless(DataLoader(data, batch_size=batch, num_workers=WORKERS)) as batches:
        yield batches


def _tensor(sample: bytes, windows: SameWindows) -> torch.Tensor:
    return torch.frombuffer(bytearray(sample), dtype=torch.int8).reshape(windows.window_shape)


@contextmanager
def _endless(loader: Any) -> Iterator[NextBatch]:
    def batches() -> Iterator[object]:
        while True:
            yield from loader

    iterator = batches()
    try:
        yield lambda: next(iterator)
    finally:
        iterator.close()


OURS_LOADER = "ours, ring filled by 2 threads, whole clips"
OURS_PROCESSES = "ours, ring filled by 2 processes, whole clips"

LOADERS: Mapping[str, OpenLoader] = MappingProxyType(
    {
        OURS_LOADER: ours_threads,
        OURS_PROCESSES: ours_processes,
        "DataLoader over np.memmap": torch_loader,
        "webdataset, WebLoader": webdataset_loader,
        "litdata, StreamingDataLoader": litdata_loader,
        "mosaicml-streaming, DataLoader": mosaic_loader,
    }
)
