"""The same latents on the same disk in every peer's own format, written once into one folder.

Legend: F frames of the store, B windows of a batch, T frames of a window, N tokens per frame, D encoder
width.
"""

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from small_store import write_random_store

from store_schema.format import SLOT_FRAMES, LatentShape
from store_schema.reader import ClipReader
from store_schema.store import Store

WINDOW_KEY = "latents.bin"
_SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class SameWindows:
    """Random codes of ViT-g-sized frames, whole slots, and where each format keeps them."""

    folder: Path
    latent_shape: LatentShape
    num_slots: int
    window_frames: int = 16

    @property
    def num_frames(self) -> int:
        """Of all slots."""
        return self.num_slots * SLOT_FRAMES

    @property
    def window_shape(self) -> tuple[int, int, int]:
        """(T, N, D)."""
        return self.window_frames, self.latent_shape.num_tokens, self.latent_shape.width

    @property
    def window_bytes(self) -> int:
        """Of the codes alone."""
        return self.window_frames * self.latent_shape.num_tokens * self.latent_shape.width

    @cached_property
    def store(self) -> Store:
        """Ours, from which all others are made."""
        path = self.folder / "ours.zarr"
        if path.exists():
            return Store.open(path)
        return write_random_store(path, latent_shape=self.latent_shape, num_slots=self.num_slots)

    @cached_property
    def latents_FND(self) -> NDArray[np.int8]:  # noqa: N802 (its shape)
        """All frames in memory: what a one-thread memcpy copies from, and what every reader must return."""
        reader, (_, *frame) = ClipReader.open(self.store), self.window_shape
        latents_FND = np.empty((self.num_frames, *frame), dtype=np.int8)
        for first in range(0, self.num_frames, SLOT_FRAMES):
            reader.read_arrays(first, {"latents": latents_FND[first : first + SLOT_FRAMES]})
        return latents_FND

    def draw(self, rng: np.random.Generator, num_windows: int) -> NDArray[np.int64]:
        """First frames (B,) of windows, each within one slot, as a store's trajectories have them."""
        starts = rng.integers(0, SLOT_FRAMES - self.window_frames + 1, num_windows)
        return rng.integers(0, self.num_slots, num_windows) * SLOT_FRAMES + starts

    def aligned(self, first_frame_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows that formats of ready-made samples hold: every 16th."""
        return first_frame_B // self.window_frames * self.window_frames

    def write(self, name: str, fill: Callable[[Path], None]) -> Path:
        """The path of a peer's data, written by `fill` where they are not there yet."""
        path = self.folder / name
        if not path.exists():
            partial_path = self.folder / f"{name}.partial"
            fill(partial_path)
            partial_path.rename(path)
        return path

    @property
    def flat_file(self) -> Path:
        """One .npy file of all frames."""
        return self.write("flat.npy", self._write_flat)

    @property
    def hdf5_file(self) -> Path:
        """One contiguous data set."""
        return self.write("latents.h5", self._write_hdf5)

    @property
    def safetensors_file(self) -> Path:
        """One tensor of all frames."""
        return self.write("latents.safetensors", lambda path: save_file({"latents": self.latents_FND}, path))

    @property
    def tar_shards(self) -> list[Path]:
        """webdataset's shards of ready-made windows."""
        return sorted(self.write("webdataset", self._write_tars).iterdir())

    @property
    def litdata_folder(self) -> Path:
        """litdata's chunks of ready-made windows."""
        return self.write("litdata", self._write_litdata)

    @property
    def mosaic_folder(self) -> Path:
        """mosaicml-streaming's shards of ready-made windows."""
        return self.write("mosaic", self._write_mosaic)

    def _write_flat(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.latents_FND)

    def _write_hdf5(self, path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("latents", data=self.latents_FND)

    def _window(self, number: int) -> bytes:
        first = number * self.window_frames
        return self.latents_FND[first : first + self.window_frames].tobytes()

    @property
    def _num_samples(self) -> int:
        return self.num_frames // self.window_frames

    def _write_tars(self, folder: Path) -> None:
        folder.mkdir()
        per_shard = max(1, _SHARD_BYTES // self.window_bytes)
        for first in range(0, self._num_samples, per_shard):
            with tarfile.open(folder / f"{first:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for number in range(first, min(first + per_shard, self._num_samples)):
                    entry = tarfile.TarInfo(f"{number:06d}.{WINDOW_KEY}")
                    entry.size = self.window_bytes
                    tar.addfile(entry, io.BytesIO(self._window(number)))

    def _write_litdata(self, folder: Path) -> None:
        import litdata

        litdata.optimize(
            partial(_litdata_sample, str(self.flat_file), self.window_frames),
            list(range(self._num_samples)),
            str(folder),
            chunk_bytes=_SHARD_BYTES,
            num_workers=1,
            keep_data_ordered=True,
            verbose=False,
        )

    def _write_mosaic(self, folder: Path) -> None:
        from streaming import MDSWriter

        with MDSWriter(out=str(folder), columns={"window": "bytes"}, size_limit=_SHARD_BYTES) as writer:
            for number in range(self._num_samples):
                writer.write({"window": self._window(number)})


def _litdata_sample(flat_file: str, window_frames: int, number: int) -> dict[str, bytes]:
    first = number * window_frames
    return {"window": np.load(flat_file, mmap_mode="r")[first : first + window_frames].tobytes()}


def drop_from_page_cache(folder: Path) -> None:
    """Ask the kernel to forget what it keeps of every file below `folder`; nobody may have them mapped."""
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
