"""One episode on disk, laid out as DROID's raw release: h5 file, three clips, and the metadata last."""

import json
from pathlib import Path

import numpy as np

from featurize.demo_data.identity import Identity, draw_identity
from featurize.demo_data.scene import Scene, draw_scene
from featurize.demo_data.story import Outcome
from featurize.demo_data.timing import draw_camera_clock, draw_row_seconds
from featurize.demo_data.trajectory_file import camera_extrinsics, write_trajectory
from featurize.demo_data.video_file import write_clip

_FEWEST_ROWS, _MOST_ROWS = 90, 135

# Periods without a common divisor, so that laboratory, outcome and video length do not go together.
_FAILURE_PERIOD = 5
_SHORT_VIDEO_PERIOD = 7


def write_episode(root: Path, *, seed: int, episode: int, width_px: int, height_px: int) -> Path:
    """Write one episode below `root` and return its folder relative to it.

    The episode follows from `seed` and its number `episode` alone. Of each seven, one has clips that are one
    frame shorter than its rows, as many of the real ones.
    """
    rng = np.random.default_rng([seed, episode])
    identity = draw_identity(rng, episode)
    row_seconds = draw_row_seconds(rng, int(rng.integers(_FEWEST_ROWS, _MOST_ROWS + 1)))
    scene = draw_scene(
        rng,
        row_seconds,
        site=identity.site,
        outcome=_draw_outcome(rng, episode),
        width_px=width_px,
        height_px=height_px,
    )
    relative = _folder(identity, scene)
    videos = root / relative / "recordings" / "MP4"
    videos.mkdir(parents=True)
    clocks = {name: draw_camera_clock(rng, row_seconds, identity.start_ms) for name in scene.cameras}
    write_trajectory(root / relative / "trajectory.h5", scene, identity, clocks)
    num_frames = len(row_seconds) - int(episode % _SHORT_VIDEO_PERIOD == _SHORT_VIDEO_PERIOD - 1)
    for name, frames in scene.videos():
        clip = videos / f"{identity.serials()[name]}.mp4"
        write_clip(clip, frames, num_frames=num_frames, width_px=width_px, height_px=height_px)
    metadata = json.dumps(_metadata(identity, scene))
    (root / relative / f"metadata_{identity.uuid}.json").write_text(metadata, encoding="utf-8")
    return relative


def _draw_outcome(rng: np.random.Generator, episode: int) -> Outcome:
    fails = episode % _FAILURE_PERIOD == _FAILURE_PERIOD - 1
    outcomes: tuple[Outcome, Outcome] = ("missed", "dropped") if fails else ("placed", "wandered")
    return outcomes[int(rng.random() < 0.4)]


def _folder(identity: Identity, scene: Scene) -> Path:
    outcome = "success" if scene.success else "failure"
    return Path(identity.lab, outcome, identity.started.strftime("%Y-%m-%d"), identity.folder_time)


def _metadata(identity: Identity, scene: Scene) -> dict[str, object]:
    """The record of `metadata_<uuid>.json`; its paths are relative to the laboratory's folder."""
    below_lab = _folder(identity, scene).relative_to(identity.lab)
    return {
        "uuid": identity.uuid,
        "lab": identity.lab,
        "user": identity.user,
        "user_id": identity.user_id,
        "date": identity.started.strftime("%Y-%m-%d"),
        "timestamp": identity.timestamp,
        "hdf5_path": str(below_lab / "trajectory.h5"),
        "building": identity.building,
        "scene_id": identity.scene_id,
        "success": scene.success,
        "robot_serial": identity.robot_serial,
        "r2d2_version": "1.3",
        "current_task": scene.task,
        "trajectory_length": len(scene.row_seconds),
        **_camera_metadata(identity, scene, below_lab),
    }


def _camera_metadata(identity: Identity, scene: Scene, below_lab: Path) -> dict[str, object]:
    serials = identity.serials()
    first, second = sorted(("left", "right"), key=lambda name: serials[name])
    roles = {"wrist": "wrist", "ext1": first, "ext2": second}
    record: dict[str, object] = {f"{role}_cam_serial": serials[name] for role, name in roles.items()}
    for role, name in roles.items():
        record[f"{role}_cam_extrinsics"] = camera_extrinsics(scene, name)[0].tolist()
    for role, name in roles.items():
        record[f"{role}_svo_path"] = str(below_lab / "recordings" / "SVO" / f"{serials[name]}.svo")
        record[f"{role}_mp4_path"] = str(below_lab / "recordings" / "MP4" / f"{serials[name]}.mp4")
    for side in ("left", "right"):
        record[f"{side}_mp4_path"] = str(below_lab / "recordings" / "MP4" / f"{serials[side]}.mp4")
    return record
