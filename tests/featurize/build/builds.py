"""Small sources to build stores from, and the steps of a build in one call."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.encoder.registry import FrozenEncoder
from featurize.encoders import encoder_of
from featurize.finalise import FinaliseReport, finalise
from featurize.index import index
from featurize.plan import plan
from featurize.recipe import Build, FeaturizeRecipe
from store_schema.layout import open_array
from store_schema.store import Store

from ..droid_files import NOMINAL_HZ, DroidFolder, numbered_picture, write_episode

POSE_KEY = "observation/robot_state/cartesian_position"
# 520 rows of 1/15 s are 139 frames at 4 Hz: one slot and 11 frames of a second one.
NUM_ROWS = (80, 96, 80, 520, 80, 80)
EVERY_FRAME_BY_ITSELF = {"qp": "0", "x264-params": "keyint=1:scenecut=0:bframes=0"}


def write_source(root: Path, num_rows: tuple[int, ...] = NUM_ROWS) -> Path:
    """Episodes of these lengths, whose states all differ."""
    for number, rows in enumerate(num_rows):
        folder = write_episode(root / f"episode-{number}", uuid=f"LAB+{number}+2023-07-07", num_rows=rows)
        folder.edit_rows(POSE_KEY, lambda pose, number=number: np.divide(pose, number + 1, out=pose))
    return root


def build_at(store: Path, source: Path, *, max_rejects: float = 0.2, **recipe: Any) -> Build:
    return Build(recipe=FeaturizeRecipe(**recipe), store=store, source_root=source, max_rejects=max_rejects)


def planned(build: Build, encoder: FrozenEncoder) -> Build:
    """All steps before `calibrate`."""
    index(build)
    plan(build, encoder)
    return build


def prepare(build: Build) -> Build:
    """All steps before `encode`."""
    calibrate(planned(build, encoder_of(build)), encoder_of(build))
    return build


def build_store(build: Build) -> FinaliseReport:
    """All steps."""
    encode(prepare(build), encoder_of(build))
    return finalise(build)


def copied(build: Build, store: Path, **places: Any) -> Build:
    """The same build at another place, as far as it has come."""
    shutil.copytree(build.store, store)
    return build.model_copy(update={"store": store, **places})


def folder_of(source: Path, episode_id: str) -> DroidFolder:
    (metadata,) = source.glob(f"**/metadata_{episode_id}.json")
    return DroidFolder(metadata.parent)


def frame_arrays(store: Path) -> dict[str, NDArray[Any]]:
    """Every per-frame array, whole, read by zarr-python."""
    specs = Store.open(store).specs
    return {name: np.array(open_array(store, name)[:]) for name, spec in specs.items() if spec.per_frame}


def differing_frames(ours: NDArray[Any], theirs: NDArray[Any]) -> list[int]:
    """Addresses of the frames that are not the same byte for byte."""
    assert ours.shape == theirs.shape
    pairs = enumerate(zip(ours, theirs, strict=True))
    return [frame for frame, (one, other) in pairs if one.tobytes() != other.tobytes()]


def write_lossless_video(
    path: Path, num_frames: int, edit: Callable[[int, NDArray[np.uint8]], None] = lambda _, __: None
) -> None:
    """Numbered pictures, each coded by itself and without loss, so that an edit touches no other frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=NOMINAL_HZ, options=EVERY_FRAME_BY_ITSELF)
        stream.height, stream.width, stream.pix_fmt = 36, 64, "yuv420p"
        for number in range(num_frames):
            picture = numbered_picture(number, 36, 64)
            edit(number, picture)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
