"""The peers' readers, each with the settings that its documentation recommends for random reads.

Each writes into the batch without a copy where it can. See `our_readers` for what they give.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import tensorstore
import torch
import zarr
from our_readers import Addresses, Batch, ReadBatch, window_by_window
from safetensors import safe_open
from same_windows import WINDOW_KEY, SameWindows
from zarr.core.buffer import default_buffer_prototype

SHUFFLE_BUFFER = 32


def _samples(windows: SameWindows, sample: Callable[[int], bytes]) -> ReadBatch:
    """Sample by sample, copied from the bytes that the library returns."""

    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        for row, first in enumerate(first_frame_B.tolist()):
            batch_BTND[row] = _as_window(sample(first // windows.window_frames), windows)
        return windows.aligned(first_frame_B)

    return read


def _as_window(sample: bytes, windows: SameWindows) -> Batch:
    return np.frombuffer(sample, dtype=np.int8).reshape(windows.window_shape)


@contextmanager
def zarr_python(windows: SameWindows) -> Iterator[ReadBatch]:
    """zarr-python on our own sharded array, each window into the batch's memory."""
    array, frames = _zarr_array(windows), windows.window_frames
    as_buffer = default_buffer_prototype().nd_buffer.from_numpy_array
    yield window_by_window(
        lambda first, out_TND: array.get_basic_selection(slice(first, first + frames), out=as_buffer(out_TND))
    )


@contextmanager
def zarr_python_gathered(windows: SameWindows) -> Iterator[ReadBatch]:
    """zarr-python's asynchronous arrays, all windows of a batch at once."""
    array, frames = _zarr_array(windows).async_array, windows.window_frames

    async def gather(first_frame_B: Addresses) -> list[Any]:
        requests = (array.getitem(slice(first, first + frames)) for first in first_frame_B.tolist())
        return await asyncio.gather(*requests)

    with asyncio.Runner() as runner:

        def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
            for row, window_TND in enumerate(runner.run(gather(first_frame_B))):
                batch_BTND[row] = window_TND
            return first_frame_B

        yield read


def _zarr_array(windows: SameWindows) -> Any:
    return zarr.open_array(windows.store.path / "latents", mode="r", zarr_format=3)


@contextmanager
def tensorstore_read(windows: SameWindows) -> Iterator[ReadBatch]:
    """tensorstore, all windows of a batch in one `Batch`, copied from the arrays that it allocates."""
    array, frames = _tensorstore_array(windows, {}), windows.window_frames

    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        with tensorstore.Batch() as together:
            futures = [array[first : first + frames].read(batch=together) for first in first_frame_B.tolist()]
        for row, future in enumerate(futures):
            batch_BTND[row] = future.result()
        return first_frame_B

    yield read


@contextmanager
def tensorstore_into_array(windows: SameWindows) -> Iterator[ReadBatch]:
    """tensorstore, one `Batch`, straight into the batch's memory."""
    yield _into_array(_tensorstore_array(windows, {}), windows.window_frames)


@contextmanager
def tensorstore_mapped(windows: SameWindows) -> Iterator[ReadBatch]:
    """The same with files memory-mapped."""
    context = {"file_io_mode": {"mode": "memmap"}}
    yield _into_array(_tensorstore_array(windows, context), windows.window_frames)


def _into_array(array: Any, frames: int) -> ReadBatch:
    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        with tensorstore.Batch() as together:
            futures = [
                tensorstore.array(batch_BTND[row], copy=False).write(
                    array[first : first + frames].translate_to[0], batch=together
                )
                for row, first in enumerate(first_frame_B.tolist())
            ]
        for future in futures:
            future.result()
        return first_frame_B

    return read


def _tensorstore_array(windows: SameWindows, context: dict[str, Any]) -> Any:
    kvstore = {"driver": "file", "path": str(windows.store.path / "latents")}
    spec = {"driver": "zarr3", "kvstore": kvstore, "fill_missing_data_reads": False}
    return tensorstore.open(spec, read=True, context=tensorstore.Context(context)).result()


@contextmanager
def np_memmap(windows: SameWindows) -> Iterator[ReadBatch]:
    """np.memmap of one flat file."""
    mapped_FND, frames = np.load(windows.flat_file, mmap_mode="r"), windows.window_frames
    yield window_by_window(lambda first, out_TND: np.copyto(out_TND, mapped_FND[first : first + frames]))


@contextmanager
def safetensors_slices(windows: SameWindows) -> Iterator[ReadBatch]:
    """safetensors' `get_slice` of one file."""
    frames = windows.window_frames
    with safe_open(windows.safetensors_file, framework="pt") as file:
        latents = file.get_slice("latents")
        yield window_by_window(
            lambda first, out_TND: torch.from_numpy(out_TND).copy_(latents[first : first + frames])
        )


@contextmanager
def hdf5_contiguous(windows: SameWindows) -> Iterator[ReadBatch]:
    """h5py's `read_direct` from one contiguous data set."""
    frames = windows.window_frames
    with h5py.File(windows.hdf5_file, "r") as file:
        latents = file["latents"]
        yield window_by_window(
            lambda first, out_TND: latents.read_direct(out_TND, np.s_[first : first + frames])
        )


@contextmanager
def webdataset_in_order(windows: SameWindows) -> Iterator[ReadBatch]:
    """webdataset's own best case: samples in the order of the shards. It cannot read a chosen window."""
    yield _webdataset(windows, shuffle=0)


@contextmanager
def webdataset_shuffled(windows: SameWindows) -> Iterator[ReadBatch]:
    """webdataset with shuffled shards and a shuffle buffer, as its documentation has it for training."""
    yield _webdataset(windows, shuffle=SHUFFLE_BUFFER)


def _webdataset(windows: SameWindows, *, shuffle: int) -> ReadBatch:
    import webdataset

    shards = [str(path) for path in windows.tar_shards]
    data = webdataset.WebDataset(shards, shardshuffle=len(shards) if shuffle else False).repeat()
    endless = iter(data.shuffle(shuffle) if shuffle else data)

    def read(first_frame_B: Addresses, batch_BTND: Batch) -> Addresses:
        read_B = np.empty_like(first_frame_B)
        for row in range(len(first_frame_B)):
            sample = next(endless)
            batch_BTND[row] = _as_window(sample[WINDOW_KEY], windows)
            read_B[row] = int(sample["__key__"]) * windows.window_frames
        return read_B

    return read


@contextmanager
def litdata_samples(windows: SameWindows) -> Iterator[ReadBatch]:
    """litdata's StreamingDataset of local chunks, a sample by its number."""
    from litdata import StreamingDataset

    data = StreamingDataset(str(windows.litdata_folder), shuffle=False)
    yield _samples(windows, lambda number: data[number]["window"])


@contextmanager
def mosaic_samples(windows: SameWindows) -> Iterator[ReadBatch]:
    """mosaicml-streaming's StreamingDataset of local shards, a sample by its number."""
    from streaming import StreamingDataset

    data = StreamingDataset(local=str(windows.mosaic_folder), shuffle=False, batch_size=1)
    yield _samples(windows, lambda number: data[number]["window"])
