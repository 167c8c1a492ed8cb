"""One test a fault: an episode is damaged in one way, and rejected for just that."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import h5py
import numpy as np
import pytest

from featurize.clock import Clock
from featurize.rejects import EpisodeRejected, RejectReason
from featurize.sources.droid_raw import DroidRaw
from featurize.sources.protocol import EpisodeRef

from ..droid_files import NUM_ROWS, SERIALS, DroidFolder, capture_key, remux, write_video

POSE = "observation/robot_state/cartesian_position"
GRIPPER = "observation/robot_state/gripper_position"
LEFT = SERIALS["left"]


@dataclass(frozen=True)
class Damage:
    reason: RejectReason
    detail: str
    do: Callable[[DroidFolder], object]


def truncate(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def link_outside(folder):
    elsewhere = folder.video.rename(folder.path.parent / "elsewhere.mp4")
    folder.video.symlink_to(elsewhere)


def cut_after_index(folder):
    """Truncate a file whose table of frames stands before them, so that it still opens."""
    write_video(folder.video, container_options={"movflags": "faststart"})
    truncate(folder.video, 0.9)


def drop_frames(number):
    def drop(folder):
        kept = remux(folder.video, folder.path / "kept.mp4", keep=lambda n: n < NUM_ROWS - number)
        kept.rename(folder.video)

    return drop


def edit(key, *changes):
    def do(folder):
        folder.edit_rows(key, lambda values: [values.__setitem__(where, value) for where, value in changes])

    return do


def empty_rows(folder):
    folder.replace_rows(POSE, np.zeros((0, 6)))
    folder.replace_rows(GRIPPER, np.zeros(0))


def replace_by_group(folder):
    with h5py.File(folder.rows, "r+") as file:
        del file[GRIPPER]
        file.create_group(GRIPPER)


def shift(first_row, milliseconds):
    def do(folder):
        folder.edit_rows(
            capture_key(), lambda times: np.add(times[first_row:], milliseconds, out=times[first_row:])
        )

    return do


def pipe_for_metadata(folder):
    path = folder.metadata
    path.unlink()
    os.mkfifo(path)


def link_file_outside(name):
    def do(folder):
        file = getattr(folder, name)
        file.symlink_to(file.rename(folder.path.parent / f"elsewhere{file.suffix}"))

    return do


def put(key, create):
    """Let `create(file)` put something else into the place of a data set."""

    def do(folder):
        with h5py.File(folder.rows, "r+") as file:
            del file[key]
            create(file)

    return do


def claim_terabytes(file):
    file.create_dataset(POSE, (10**12, 6), "f8", chunks=(16, 6))


def take_from_a_raw_file(file):
    file.create_dataset(GRIPPER, (NUM_ROWS,), "f8", external=[("/dev/zero", 0, NUM_ROWS * 8)])


def show_another_file(file):
    layout = h5py.VirtualLayout((NUM_ROWS,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "gripper", (NUM_ROWS,))
    file.create_virtual_dataset(GRIPPER, layout)


def link_to_another_file(file):
    file[GRIPPER] = h5py.ExternalLink("/elsewhere/trajectory.h5", GRIPPER)


def link_in_a_circle(file):
    file[GRIPPER] = h5py.SoftLink("/circle")
    file["circle"] = h5py.SoftLink(f"/{GRIPPER}")


def quicken(folder):
    folder.replace_rows(capture_key(), np.rint(np.arange(NUM_ROWS) * 3999 / (NUM_ROWS - 1)).astype(np.int64))


DAMAGES = {
    "no metadata": Damage(
        RejectReason.NO_METADATA,
        r"expected one metadata_\*.json, got none",
        lambda folder: folder.metadata.unlink(),
    ),
    "two metadata": Damage(
        RejectReason.TWO_METADATA,
        r"expected one metadata_\*.json, got metadata_AUTOLab.*json, metadata_other.json",
        lambda folder: (folder.path / "metadata_other.json").write_text("{}"),
    ),
    "metadata cut off": Damage(
        RejectReason.METADATA_INVALID,
        r"metadata_AUTOLab.*json: file: Invalid JSON: EOF",
        lambda folder: truncate(folder.metadata, 0.5),
    ),
    "metadata without lab": Damage(
        RejectReason.METADATA_INVALID,
        r"metadata_AUTOLab.*json: lab: Input should be a valid string, got None",
        lambda folder: folder.edit_metadata(lab=None),
    ),
    "success that is no flag": Damage(
        RejectReason.METADATA_INVALID,
        r"success: Input should be a valid boolean, got 'yes'",
        lambda folder: folder.edit_metadata(success="yes"),
    ),
    "video path with a NUL": Damage(
        RejectReason.METADATA_INVALID,
        r"left_mp4_path: String should match pattern",
        lambda folder: folder.edit_metadata(left_mp4_path="recordings/MP4/\0.mp4"),
    ),
    "metadata that is a folder": Damage(
        RejectReason.METADATA_INVALID,
        r"metadata_x.json cannot be read: Is a directory",
        lambda folder: (folder.metadata.unlink(), (folder.path / "metadata_x.json").mkdir()),
    ),
    "metadata that is a pipe": Damage(
        RejectReason.METADATA_INVALID,
        r"metadata_AUTOLab.*json is a pipe or a device; expected a file\.",
        pipe_for_metadata,
    ),
    "metadata linked from outside": Damage(
        RejectReason.FILE_OUTSIDE_EPISODE,
        r"metadata_AUTOLab.*json links to a file outside the episode's folder\.",
        link_file_outside("metadata"),
    ),
    "two megabytes of metadata": Damage(
        RejectReason.METADATA_INVALID,
        r"metadata_AUTOLab.*json has 2\d{6} bytes; expected at most 1048576\.",
        lambda folder: folder.edit_metadata(notes="x" * 2**21),
    ),
    "a task of a hundred thousand words": Damage(
        RejectReason.METADATA_INVALID,
        r"lab: Input should be a valid string, got \[.{900}.*\.\.\. and \d+ more characters$",
        lambda folder: folder.edit_metadata(lab=["word"] * 100_000),
    ),
    "h5 linked from outside": Damage(
        RejectReason.FILE_OUTSIDE_EPISODE,
        r"trajectory\.h5 links to a file outside the episode's folder\.",
        link_file_outside("rows"),
    ),
    "terabytes of rows by claim": Damage(
        RejectReason.H5_MALFORMED,
        rf"trajectory\.h5 claims 1000000000000 rows in /{POSE}; expected at most 1000000\.",
        put(POSE, claim_terabytes),
    ),
    "rows in a raw file": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds {GRIPPER} in another file; expected the values themselves\.",
        put(GRIPPER, take_from_a_raw_file),
    ),
    "rows shown from another file": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds {GRIPPER} in another file; expected the values themselves\.",
        put(GRIPPER, show_another_file),
    ),
    "a link into another file": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds a ExternalLink at 'gripper_position' on the way to {GRIPPER}; expected the values",
        put(GRIPPER, link_to_another_file),
    ),
    "links in a circle": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds a SoftLink at 'gripper_position' on the way to {GRIPPER}; expected the values",
        put(GRIPPER, link_in_a_circle),
    ),
    "a state that float32 does not hold": Damage(
        RejectReason.STATES_NOT_FINITE,
        r"NaN or infinite states in 1 rows, the first is 8\. Numbers beyond 1\.7e\+38 count as infinite\.",
        edit(POSE, ((8, 0), 1e39)),
    ),
    "an infinite camera pose": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds infinite numbers in /observation/camera_extrinsics/{LEFT}_left",
        edit(f"observation/camera_extrinsics/{LEFT}_left", ((8, 0), 1e39)),
    ),
    "no h5": Damage(
        RejectReason.H5_MISSING,
        r"expected trajectory.h5, got no such file",
        lambda folder: folder.rows.unlink(),
    ),
    "truncated h5": Damage(
        RejectReason.H5_UNREADABLE,
        r"trajectory.h5 cannot be read: .*truncated file",
        lambda folder: truncate(folder.rows, 0.7),
    ),
    "h5 that is no h5": Damage(
        RejectReason.H5_UNREADABLE,
        r"trajectory.h5 cannot be read: .*signature not found",
        lambda folder: folder.rows.write_bytes(b"not HDF5"),
    ),
    "missing key": Damage(
        RejectReason.H5_MISSING_KEY,
        rf"trajectory.h5 has no data set '{POSE}'",
        lambda folder: folder.replace_rows(POSE, None),
    ),
    "group in place of data": Damage(
        RejectReason.H5_MISSING_KEY,
        rf"trajectory.h5 has no data set '{GRIPPER}'",
        replace_by_group,
    ),
    "poses of the wrong size": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds /{POSE} as float64 \(80, 7\); expected numbers of shape \(80, 6\)",
        lambda folder: folder.replace_rows(POSE, np.zeros((NUM_ROWS, 7))),
    ),
    "gripper of another length": Damage(
        RejectReason.H5_MALFORMED,
        rf"holds /{GRIPPER} as float64 \(79,\); expected numbers of shape \(80,\)",
        lambda folder: folder.replace_rows(GRIPPER, np.zeros(NUM_ROWS - 1)),
    ),
    "gripper that is no number": Damage(
        RejectReason.H5_MALFORMED,
        r"holds /.*gripper_position as \|S4 \(80,\); expected numbers",
        lambda folder: folder.replace_rows(GRIPPER, np.full(NUM_ROWS, b"open")),
    ),
    "scalar pose": Damage(
        RejectReason.H5_MALFORMED,
        r"as float64 \(\); expected numbers of shape \(0, 6\)",
        lambda folder: folder.replace_rows(POSE, np.array(0.5)),
    ),
    "NaN state": Damage(
        RejectReason.STATES_NOT_FINITE,
        r"NaN or infinite states in 1 rows, the first is 17",
        edit(POSE, ((17, 2), np.nan)),
    ),
    "infinite gripper": Damage(
        RejectReason.STATES_NOT_FINITE,
        r"NaN or infinite states in 2 rows, the first is 3\.",
        edit(GRIPPER, (3, np.inf), (9, -np.inf)),
    ),
    "degrees in place of radians": Damage(
        RejectReason.STATES_OUT_OF_RANGE,
        r"states out of range in 1 rows, the first is 5: .*Expected Euler angles in radians within \+-pi",
        edit(POSE, ((5, 4), 90.0)),
    ),
    "a gripper in millimetres": Damage(
        RejectReason.STATES_OUT_OF_RANGE,
        r"states out of range in 2 rows, the first is 3: .*a gripper within -0\.05\.\.1\.05\.",
        edit(GRIPPER, (3, 85.0), (9, -0.06)),
    ),
    "no video": Damage(
        RejectReason.VIDEO_MISSING,
        rf"expected the video recordings/MP4/{LEFT}.mp4, got no such file",
        lambda folder: folder.video.unlink(),
    ),
    "no video path": Damage(
        RejectReason.VIDEO_MISSING,
        r"metadata names no video: left_mp4_path is not set",
        lambda folder: folder.edit_metadata(left_mp4_path=None),
    ),
    "video path that climbs": Damage(
        RejectReason.VIDEO_OUTSIDE_EPISODE,
        r"left_mp4_path 'recordings/MP4/../../../b/1.mp4' leaves the episode's folder",
        lambda folder: folder.edit_metadata(left_mp4_path="recordings/MP4/../../../b/1.mp4"),
    ),
    "video path that climbs before the folder": Damage(
        RejectReason.VIDEO_OUTSIDE_EPISODE,
        r"leaves the episode's folder; expected a file in recordings/MP4",
        lambda folder: folder.edit_metadata(left_mp4_path=f"../other/recordings/MP4/{LEFT}.mp4"),
    ),
    "absolute video path": Damage(
        RejectReason.VIDEO_OUTSIDE_EPISODE,
        rf"left_mp4_path '/elsewhere/recordings/MP4/{LEFT}.mp4' leaves",
        lambda folder: folder.edit_metadata(left_mp4_path=f"/elsewhere/recordings/MP4/{LEFT}.mp4"),
    ),
    "video path longer than a name may be": Damage(
        RejectReason.VIDEO_MISSING,
        r"expected the video recordings/MP4/x+\.mp4, got no such file",
        lambda folder: folder.edit_metadata(left_mp4_path=f"recordings/MP4/{'x' * 300}.mp4"),
    ),
    "video linked to itself": Damage(
        RejectReason.VIDEO_MISSING,
        rf"expected the video recordings/MP4/{LEFT}.mp4, got no such file",
        lambda folder: (folder.video.unlink(), folder.video.symlink_to(folder.video)),
    ),
    "video linked from outside": Damage(
        RejectReason.VIDEO_OUTSIDE_EPISODE,
        rf"left_mp4_path '.*{LEFT}.mp4' leaves the episode's folder",
        link_outside,
    ),
    "truncated video": Damage(
        RejectReason.VIDEO_UNREADABLE,
        rf"{LEFT}.mp4 cannot be read: Invalid data",
        lambda folder: truncate(folder.video, 0.5),
    ),
    "truncated video that still opens": Damage(
        RejectReason.VIDEO_UNREADABLE,
        rf"{LEFT}.mp4 is truncated in frame \d+ of 80",
        cut_after_index,
    ),
    "empty video": Damage(
        RejectReason.VIDEO_UNREADABLE,
        rf"{LEFT}.mp4 cannot be read",
        lambda folder: folder.video.write_bytes(b""),
    ),
    "video two frames short": Damage(
        RejectReason.LENGTH_MISMATCH,
        rf"video {LEFT}.mp4 has 78 frames, trajectory.h5 has 80 rows; at most 1 may be missing",
        drop_frames(2),
    ),
    "no rows": Damage(RejectReason.TOO_SHORT, r"trajectory.h5 has no rows", empty_rows),
    "no time stamps": Damage(
        RejectReason.TIMESTAMPS_MISSING,
        rf"camera {LEFT} has no capture time stamps; the physical clock needs them, mp4_nominal does not",
        lambda folder: folder.replace_rows(capture_key(), None),
    ),
    "NaN time stamp": Damage(
        RejectReason.TIMESTAMPS_NOT_FINITE,
        rf"camera {LEFT} has NaN or infinite times at 1 rows, the first is 5",
        lambda folder: folder.replace_rows(capture_key(), np.where(np.arange(NUM_ROWS) == 5, np.nan, 1e3)),
    ),
    "infinite first time stamp": Damage(
        RejectReason.TIMESTAMPS_NOT_FINITE,
        r"NaN or infinite times at 80 rows, the first is 0",
        lambda folder: folder.replace_rows(capture_key(), np.append(np.inf, np.arange(NUM_ROWS - 1))),
    ),
    "time standing still": Damage(
        RejectReason.TIMESTAMPS_STALLED,
        rf"camera {LEFT} captured row 31 0.000 s after row 30; times must increase",
        lambda folder: folder.edit_rows(capture_key(), lambda times: times.put(31, times[30])),
    ),
    "time running backwards": Damage(
        RejectReason.TIMESTAMPS_BACKWARDS,
        rf"camera {LEFT} captured row 40 -0.033 s after row 39; times must increase",
        shift(40, -100),
    ),
    "unsigned time running backwards": Damage(
        RejectReason.TIMESTAMPS_BACKWARDS,
        r"captured row 1 -0.001 s after row 0",
        lambda folder: folder.replace_rows(capture_key(), np.arange(NUM_ROWS, 0, -1, dtype=np.uint64)),
    ),
    "a time of ten thousand years": Damage(
        RejectReason.TIMESTAMPS_GAP,
        r"captured row 7 3e\+11 s after row 0; expected at most 1e\+09 s\.",
        lambda folder: folder.replace_rows(capture_key(), np.where(np.arange(NUM_ROWS) == 7, 3e14, 0.0)),
    ),
    "a gap in time": Damage(
        RejectReason.TIMESTAMPS_GAP,
        rf"camera {LEFT} captured row 40 0.267 s after row 39; the physical clock allows at most 0.25 s",
        shift(40, 200),
    ),
    "one millisecond under four seconds": Damage(
        RejectReason.TOO_SHORT,
        r"its 80 rows give 15 frames on the physical clock; one clip takes 16",
        quicken,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_rejects_an_episode_with(damage, tmp_path, make_episode):
    damage.do(make_episode("lab/episode"))
    (ref,) = DroidRaw(tmp_path).episodes()
    with pytest.raises(EpisodeRejected, match=damage.detail) as caught:
        DroidRaw(tmp_path).load(ref, ["left"], Clock.PHYSICAL)
    rejected = caught.value
    assert (rejected.episode_id, rejected.stage, rejected.reason) == (ref.episode_id, "index", damage.reason)


def test_rejects_a_listed_folder_that_is_missing(tmp_path):
    with pytest.raises(
        EpisodeRejected, match=r"^Episode gone: its folder cannot be listed: No such file"
    ) as caught:
        DroidRaw(tmp_path).load(EpisodeRef(episode_id="gone", location="gone"), ["left"], Clock.PHYSICAL)
    assert caught.value.reason is RejectReason.FOLDER_UNREADABLE


def test_rejects_an_episode_of_too_few_rows_for_the_nominal_clock(tmp_path, make_episode):
    make_episode("a")
    with pytest.raises(EpisodeRejected, match=r"80 rows give 5 frames on the mp4_nominal clock") as caught:
        DroidRaw(tmp_path).load(next(DroidRaw(tmp_path).episodes()), ["left"], Clock.MP4_NOMINAL)
    assert caught.value.reason is RejectReason.TOO_SHORT


@pytest.mark.parametrize("clock", Clock)
def test_false_time_stamps_are_rejected_on_either_clock(tmp_path, make_episode, clock):
    make_episode("a").replace_rows(capture_key(), np.zeros(NUM_ROWS, dtype=np.int64))
    with pytest.raises(EpisodeRejected) as caught:
        DroidRaw(tmp_path).load(next(DroidRaw(tmp_path).episodes()), ["left"], clock)
    assert caught.value.reason is RejectReason.TIMESTAMPS_STALLED


def test_one_unusable_camera_rejects_the_episode(tmp_path, make_episode):
    (make_episode("a").path / f"recordings/MP4/{SERIALS['wrist']}.mp4").unlink()
    with pytest.raises(EpisodeRejected, match=SERIALS["wrist"]):
        DroidRaw(tmp_path).load(next(DroidRaw(tmp_path).episodes()), ["left", "wrist"], Clock.PHYSICAL)


def test_every_damage_in_one_source_is_told_apart_and_the_good_episodes_are_kept(tmp_path, make_episode):
    for number, damage in enumerate(DAMAGES.values()):
        damage.do(make_episode(f"bad/{number:02}/episode"))
    for name in ("a", "b"):
        make_episode(f"good/{name}")
    source, reasons, kept = DroidRaw(tmp_path), [], []
    for ref in source.episodes():
        try:
            kept.append(source.load(ref, ["left"], Clock.PHYSICAL).ref.location)
        except EpisodeRejected as rejected:
            reasons.append(rejected.reason)
    assert reasons == [damage.reason for damage in DAMAGES.values()]
    assert kept == ["good/a", "good/b"]


def test_every_reason_that_loading_can_give_is_tested():
    elsewhere = {
        RejectReason.FOLDER_UNREADABLE,
        RejectReason.DUPLICATE_EPISODE,
        RejectReason.CHANGED_SINCE_INDEX,
        RejectReason.READER_CRASHED,
        RejectReason.READER_STUCK,
        RejectReason.LATENTS_NOT_FINITE,
    }
    assert {damage.reason for damage in DAMAGES.values()} == set(RejectReason) - elsewhere


def test_an_episode_in_a_folder_whose_name_is_no_text_is_rejected_by_a_printable_id(tmp_path, make_episode):
    folder = make_episode("a").path
    folder.rename(folder.with_name(os.fsdecode(b"caf\xe9")))
    (ref,) = DroidRaw(tmp_path).episodes()
    with pytest.raises(EpisodeRejected, match=r"folder caf\\udce9 is not UTF-8; rename it") as caught:
        DroidRaw(tmp_path).load(ref, ["left"], Clock.PHYSICAL)
    assert caught.value.reason is RejectReason.FOLDER_UNREADABLE


def test_an_episode_whose_metadata_names_no_uuid_goes_by_its_folder(tmp_path, make_episode):
    make_episode("a").metadata.rename(tmp_path / "a/metadata_.json")
    assert [ref.episode_id for ref in DroidRaw(tmp_path).episodes()] == ["a"]
