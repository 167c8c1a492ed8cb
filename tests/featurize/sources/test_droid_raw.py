"""What a usable episode gives; `test_droid_rejects` has the others."""

import pickle

import numpy as np
import pytest

from featurize.clock import Clock
from featurize.sources.droid_raw import DroidRaw
from featurize.sources.protocol import EpisodeRef, Source
from featurize.video.decode import decode_frames

from ..droid_files import NUM_ROWS, SERIALS, capture_key, remux, shown_number, write_episode

UUID = "AUTOLab+84bd5053+2023-07-07-09h-42m-23s"
LOCATION = "AUTOLab/success/2023-07-07/Fri_Jul__7_09:42:23_2023"


def load(root, cameras=("left",), clock=Clock.PHYSICAL):
    source: Source = DroidRaw(root)
    (ref,) = source.episodes()
    return source.load(ref, cameras, clock)


def test_an_episode_is_named_by_its_uuid_and_found_by_its_folder(tmp_path, make_episode):
    make_episode(LOCATION)
    assert list(DroidRaw(tmp_path).episodes()) == [EpisodeRef(episode_id=UUID, location=LOCATION)]


def test_an_episode_without_one_metadata_file_is_named_by_its_folder(tmp_path, make_episode):
    make_episode("IRIS/a").metadata.unlink()
    (make_episode("IRIS/b").path / "metadata_other.json").touch()
    assert [ref.episode_id for ref in DroidRaw(tmp_path).episodes()] == ["IRIS/a", "IRIS/b"]


def test_a_list_gives_its_episodes_in_its_order_even_missing_ones(tmp_path, make_episode):
    make_episode("IRIS/a"), make_episode("IRIS/b"), make_episode("IRIS/c")
    episode_list = tmp_path / "list.txt"
    episode_list.write_text("IRIS/c\nIRIS/gone\nIRIS/a\n")
    refs = list(DroidRaw(tmp_path, episode_list).episodes())
    assert [(ref.episode_id, ref.location) for ref in refs] == [
        (UUID, "IRIS/c"),
        ("IRIS/gone", "IRIS/gone"),
        (UUID, "IRIS/a"),
    ]


def test_an_episode_says_where_it_comes_from(tmp_path, make_episode):
    make_episode(LOCATION)
    episode = load(tmp_path)
    assert (episode.lab, episode.success, episode.task) == ("AUTOLab", True, "Put the marker in the cup")


def test_a_missing_task_is_an_empty_text(tmp_path, make_episode):
    make_episode(LOCATION).edit_metadata(current_task=None)
    assert load(tmp_path).task == ""


def test_states_are_pose_and_gripper(tmp_path, make_episode):
    make_episode(LOCATION)
    states_RA = load(tmp_path).states_RA
    assert states_RA.dtype == np.float64
    assert states_RA.shape == (NUM_ROWS, 7)
    np.testing.assert_allclose(states_RA[40], [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.5])


@pytest.mark.parametrize("camera", ["left", "right", "wrist"])
def test_each_camera_has_its_own_video_times_and_extrinsics(tmp_path, make_episode, camera):
    folder = make_episode(LOCATION)
    folder.edit_rows(capture_key(camera), lambda times: np.add(times, np.arange(NUM_ROWS), out=times))
    folder.edit_rows(f"observation/camera_extrinsics/{SERIALS[camera]}_left", lambda poses: poses.fill(0.25))
    (stream,) = load(tmp_path, [camera]).streams.values()
    assert (stream.camera, stream.serial, stream.video_path.name) == (
        camera,
        SERIALS[camera],
        f"{SERIALS[camera]}.mp4",
    )
    assert stream.capture_seconds_R[:3].tolist() == [0, 0.068, 0.135]
    assert stream.extrinsics_R6.dtype == np.float32
    assert (stream.extrinsics_R6 == 0.25).all()


def test_only_the_cameras_asked_for_must_be_there(tmp_path, make_episode):
    (make_episode(LOCATION).path / f"recordings/MP4/{SERIALS['wrist']}.mp4").unlink()
    assert list(load(tmp_path, ["left", "right"]).streams) == ["left", "right"]


def test_a_stream_has_the_facts_of_its_video(tmp_path, make_episode):
    make_episode(LOCATION)
    stream = load(tmp_path).streams["left"]
    assert (stream.num_frames, stream.height_px, stream.width_px) == (NUM_ROWS, 36, 64)
    assert (stream.codec, stream.nominal_hz, stream.decoder) == ("h264", 60.0, "decord")


def test_row_i_is_frame_i(tmp_path, make_episode):
    make_episode(LOCATION)
    picture_HWC = decode_frames(load(tmp_path).streams["left"].video_path, [57], "decord")[0]
    assert shown_number(picture_HWC) == 57


@pytest.mark.parametrize(("num_rows", "num_frames"), [(80, 79), (79, 80), (80, 80)])
def test_rows_and_frames_that_differ_by_one_are_cut_to_their_common_length(tmp_path, num_rows, num_frames):
    write_episode(tmp_path / "a", num_rows=num_rows, num_frames=num_frames)
    stream = load(tmp_path).streams["left"]
    assert stream.num_frames == min(num_rows, num_frames)
    assert len(stream.capture_seconds_R) == len(stream.extrinsics_R6) == stream.num_frames


def test_a_bad_time_stamp_in_the_row_without_a_frame_does_no_harm(tmp_path, make_episode):
    folder = make_episode(LOCATION)
    remux(folder.video, folder.path / "short.mp4", keep=lambda number: number < NUM_ROWS - 1).rename(
        folder.video
    )
    folder.edit_rows(capture_key(), lambda times: times.put(-1, 0))
    assert load(tmp_path).streams["left"].num_frames == NUM_ROWS - 1


def test_extrinsics_may_be_missing(tmp_path, make_episode):
    make_episode(LOCATION).replace_rows(f"observation/camera_extrinsics/{SERIALS['left']}_left", None)
    assert load(tmp_path).streams["left"].extrinsics_R6 is None


def test_the_nominal_clock_accepts_missing_time_stamps(tmp_path):
    folder = write_episode(tmp_path / "a", num_rows=240)
    folder.replace_rows(capture_key(), None)
    stream = load(tmp_path, clock=Clock.MP4_NOMINAL).streams["left"]
    assert stream.capture_seconds_R is None


def test_the_nominal_clock_accepts_a_gap(tmp_path):
    folder = write_episode(tmp_path / "a", num_rows=240)
    folder.edit_rows(capture_key(), lambda times: np.add(times[100:], 700, out=times[100:]))
    assert load(tmp_path, clock=Clock.MP4_NOMINAL).streams["left"].capture_seconds_R[-1] > 16


def test_a_video_path_may_start_anywhere_but_ends_in_the_episode(tmp_path, make_episode):
    make_episode(LOCATION).edit_metadata(
        left_mp4_path=f"another/collection/recordings/MP4/{SERIALS['right']}.mp4"
    )
    assert load(tmp_path).streams["left"].serial == SERIALS["right"]


def test_a_source_can_be_sent_to_a_worker(tmp_path, make_episode):
    make_episode(LOCATION)
    source = pickle.loads(pickle.dumps(DroidRaw(tmp_path)))
    assert source.load(next(source.episodes()), ["left"], Clock.PHYSICAL).ref.episode_id == UUID


def test_the_attribution_names_authors_and_licence(tmp_path):
    assert "Khazatsky et al." in DroidRaw(tmp_path).attribution
    assert "CC BY 4.0" in DroidRaw(tmp_path).attribution
    assert "creativecommons.org/licenses/by/4.0" in DroidRaw(tmp_path).licence
