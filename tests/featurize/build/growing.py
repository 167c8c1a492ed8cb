"""A source that grows: what is added, the calls that append it, and how a store is compared with itself."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import numpy as np

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.encoder.registry import FrozenEncoder
from featurize.finalise import FinaliseReport, finalise
from featurize.index import index, indexed
from featurize.plan import plan
from featurize.recipe import Build
from store_schema import atomic
from store_schema.batch import ClipBuffers
from store_schema.layout import slot_path
from store_schema.locks import HOLDER_FILE
from store_schema.reader import ClipReader
from store_schema.sealing import file_sha256
from store_schema.store import Store

from ..droid_files import DroidFolder, write_episode
from .builds import POSE_KEY

# By name they come before and between those that the store has; the second spans two slots.
NEW_ROWS = {"AAA+new+2023-07-08": 80, "LAB+3-new+2023-07-08": 520, "ZZZ+new+2023-07-08": 96}
NUM_NEW_SLOTS = 4
NUM_OLD_SLOTS = 7


def add_episodes(source: Path) -> list[DroidFolder]:
    """Three more episodes, whose states differ from all others."""
    folders = []
    for number, (episode_id, num_rows) in enumerate(NEW_ROWS.items()):
        folder = write_episode(source / f"added/{number}", uuid=episode_id, num_rows=num_rows)
        folder.edit_rows(POSE_KEY, lambda pose, number=number: np.divide(pose, -number - 1, out=pose))
        folders.append(folder)
    return folders


def grown_source(source: Path, at: Path) -> Path:
    """A copy of the source with the three more."""
    add_episodes(shutil.copytree(source, at))
    return at


def featurize(build: Build, encoder: FrozenEncoder) -> FinaliseReport:
    """What the parent flow does."""
    if indexed(build) is None:
        index(build, new_only=True)
    plan(build, encoder)
    calibrate(build, encoder)
    encode(build, encoder)
    return finalise(build)


def slot_files(store: Path, slots: range) -> dict[Path, tuple[int, str]]:
    """When each file of these slots was written, and its hash; the channel statistics count as slot 0."""
    names = {str(slot) for slot in slots}
    files = [path.relative_to(store) for path in store.glob("*/c/**/*") if path.is_file()]
    return {
        name: ((store / name).stat().st_mtime_ns, hashlib.sha256((store / name).read_bytes()).hexdigest())
        for name in files
        if name.parts[2] in names
    }


def window_hashes(store: Store) -> list[str]:
    """Of codes, scales, states and actions of every window of 16 frames, in order."""
    reader = ClipReader.open(store)
    buffers = ClipBuffers.allocate(
        num_clips=1, num_frames=16, latent_shape=store.latent_shape, quantisation=store.quantisation
    )
    hashes = []
    for trajectory in store.trajectories:
        for offset in range(trajectory.num_frames - 15):
            reader.read(trajectory.first_frame + offset, buffers, 0)
            arrays = [array for array in vars(buffers).values() if array is not None]
            hashes.append(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
    return hashes


def differing_files(store: Store) -> list[str]:
    """Files of finished slots that are not as the ledger says."""
    return [
        f"{slot} {file.array}"
        for slot, row in store.ledger.items()
        for file in row.files
        if file_sha256(store.path / slot_path(store.specs[file.array], slot)) != file.sha256
    ]


@contextmanager
def stop_after(num_writes: int) -> Iterator[None]:
    """Let so many files be written, without those of the lock, and raise KeyboardInterrupt at the next."""
    written = []
    whole = atomic.renamed_when_whole

    def write_or_stop(partial: Path, path: Path) -> AbstractContextManager[BinaryIO]:
        if path.name != HOLDER_FILE:
            if len(written) == num_writes:
                raise KeyboardInterrupt
            written.append(path)
        return whole(partial, path)

    with mock.patch.object(atomic, "renamed_when_whole", write_or_stop):
        yield
