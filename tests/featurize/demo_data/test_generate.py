"""The public entry: the same episodes whoever writes them, and clear words for what cannot be."""

from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest

from featurize.demo_data import DemoDataError, kinematics, scene, write_demo_data
from featurize.demo_data.episode_folder import write_episode

SMALL: dict[str, Any] = {"width_px": 96, "height_px": 64}


def content(folder: Path) -> dict[str, np.ndarray]:
    """Every h5 array and every decoded frame of an episode."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(folder / "trajectory.h5") as file:
        file.visititems(
            lambda name, node: found.update({name: node[()]} if isinstance(node, h5py.Dataset) else {})
        )
    for clip in folder.rglob("*.mp4"):
        with av.open(str(clip)) as container:
            found[clip.name] = np.stack(
                [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            )
    return found


def test_the_same_seed_gives_the_same_episodes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    alone = write_demo_data(tmp_path / "alone", num_episodes=1, seed=5, workers=1, **SMALL)
    together = write_demo_data(tmp_path / "together", num_episodes=2, seed=5, workers=2, **SMALL)
    for first, second in zip(alone, together, strict=False):
        assert first.relative_to(tmp_path / "alone") == second.relative_to(tmp_path / "together")
        one, other = content(first), content(second)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_another_seed_gives_other_rows(tmp_path: Path, episodes: list[Any]) -> None:
    (folder,) = write_demo_data(tmp_path / "other", num_episodes=1, seed=4, workers=1, **SMALL)
    key = "observation/robot_state/cartesian_position"
    with h5py.File(folder / "trajectory.h5") as file:
        assert not np.array_equal(file[key][0], episodes[0].rows(key)[0])


def test_progress_is_told_after_each_episode_and_the_folders_come_in_order(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folders = write_demo_data(
        tmp_path / "demo",
        num_episodes=2,
        seed=0,
        workers=1,
        progress=lambda *args: told.append(args),
        **SMALL,
    )
    assert told == [(1, 2), (2, 2)]
    assert [folder.parts[-4] for folder in folders] == ["DemoNorth", "DemoEast"]


def test_what_a_killed_run_left_is_replaced_and_nothing_partial_remains(tmp_path: Path) -> None:
    left_over = tmp_path / ".demo.partial" / "DemoNorth" / "old"
    left_over.mkdir(parents=True)
    write_demo_data(tmp_path / "demo", num_episodes=1, seed=0, workers=1, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert not list((tmp_path / "demo").rglob("old"))


def test_writes_into_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    write_demo_data(tmp_path / "demo", num_episodes=1, seed=0, workers=1, **SMALL)
    assert list((tmp_path / "demo").rglob("metadata_*.json"))


def test_refuses_to_write_over_existing_data(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DemoDataError, match="is there and not an empty folder; expected a new one"):
        write_demo_data(tmp_path, num_episodes=1, seed=0, workers=1)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_episodes": 0}, "Number of episodes is 0, expected at least 1"),
        ({"seed": -1}, "Seed is -1, expected 0 or more"),
        ({"workers": 0}, "Number of workers is 0, expected at least 1"),
        ({"width_px": 321}, "Image width is 321 pixels, expected an even number of at least 64"),
        ({"height_px": 32}, "Image height is 32 pixels, expected an even number of at least 64"),
    ],
)
def test_rejects_arguments_out_of_range(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DemoDataError, match=message):
        write_demo_data(tmp_path / "demo", **{"num_episodes": 1, "seed": 0, "workers": 1, **arguments})
    assert not (tmp_path / "demo").exists()


def test_writes_the_size_of_the_real_clips(tmp_path: Path) -> None:
    (folder,) = write_demo_data(
        tmp_path / "hd", num_episodes=1, seed=1, width_px=1280, height_px=720, workers=1
    )
    clips = sorted(folder.rglob("*.mp4"))
    assert len(clips) == 3
    for clip in clips:
        with av.open(str(clip)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert frame.shape == (720, 1280, 3)
        assert frame.std() > 15


def test_a_motion_that_the_arm_cannot_follow_is_drawn_anew(tmp_path: Path, monkeypatch) -> None:
    refused = []

    def counting(hand_poses):
        try:
            return kinematics.solve_joints(hand_poses)
        except kinematics.UnreachablePoseError as error:
            refused.append(error)
            raise

    monkeypatch.setattr(scene, "solve_joints", counting)
    # The first motion of this episode leaves the workspace.
    folder = write_episode(tmp_path, seed=1, episode=383, width_px=64, height_px=64)
    assert len(refused) == 1
    assert (tmp_path / folder / "trajectory.h5").is_file()
