"""One small data set for all tests, with enough episodes for each kind (failure: 5th, short video: 7th)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pytest

from featurize.demo_data import write_demo_data

NUM_EPISODES = 7
WIDTH_PX, HEIGHT_PX = 160, 90


@dataclass(frozen=True, kw_only=True)
class Written:
    folder: Path
    metadata: dict[str, Any]

    def rows(self, key: str) -> Any:
        with h5py.File(self.folder / "trajectory.h5") as file:
            return file[key][()]

    def video(self, key: str) -> Path:
        return self.folder / "recordings" / "MP4" / Path(self.metadata[key]).name

    @property
    def serials(self) -> dict[str, str]:
        return {role: self.metadata[f"{role}_cam_serial"] for role in ("wrist", "ext1", "ext2")}


def read_back(folder: Path) -> Written:
    (metadata,) = folder.glob("metadata_*.json")
    return Written(folder=folder, metadata=json.loads(metadata.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "droid_raw"
    write_demo_data(
        root, num_episodes=NUM_EPISODES, seed=3, width_px=WIDTH_PX, height_px=HEIGHT_PX, workers=2
    )
    return root


@pytest.fixture(scope="session")
def episodes(demo_root: Path) -> list[Written]:
    found = [read_back(path.parent) for path in demo_root.rglob("metadata_*.json")]
    return sorted(found, key=lambda episode: episode.metadata["timestamp"])
