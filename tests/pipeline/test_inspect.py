"""`inspect` tells everything a store says of itself, and draws some of its frames."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import NothingStoredError, OptionError
from pipeline.report.store_picture import draw_store_picture
from pipeline.store_accounts import INSPECT_NAMES, STATUS_NAMES
from pipeline.stored_frames import draw_stored_frames
from store_schema.errors import DamagedStoreError
from store_schema.format import Quantisation
from store_schema.layout import open_array
from store_schema.store import Store
from store_schema.tables import TRAJECTORY_SCHEMA, write_table

ALL_STATES = ("indexed", "planned", "calibrated", "partly_encoded", "encoded", "sealed", "being_extended")


def account_of(permafrost, store, *options):
    code, out, err = permafrost("inspect", store, "--json", *options)
    assert err == ""
    return code, json.loads(out)


@pytest.mark.parametrize("state", ALL_STATES)
def test_names_are_the_same_in_every_state_and_begin_with_those_of_status(permafrost, store_states, state):
    code, account = account_of(permafrost, store_states[state])
    assert (code, tuple(account)) == (0, INSPECT_NAMES)
    status = json.loads(permafrost("status", store_states[state], "--json")[1])
    timed = {"idle_seconds", "frames_per_second", "seconds_left"}
    assert {name: account[name] for name in STATUS_NAMES if name not in timed} == {
        name: fact for name, fact in status.items() if name not in timed
    }


def test_a_sealed_store_tells_who_made_it_from_what(permafrost, store_states):
    account = account_of(permafrost, store_states["sealed"])[1]
    attributes = Store.open(store_states["sealed"]).attributes
    encoder = attributes.fingerprint.encoder
    assert account["encoder_details"]["weights_sha256"] == encoder.weights_sha256
    assert (account["uuid"], account["code_version"]) == (attributes.uuid, attributes.code_version)
    assert account["recipe"] == attributes.recipe
    assert account["source"]["attribution"] == attributes.source.attribution
    assert (account["frame_rate_hz"], account["quantisation"]) == (4.0, "int8")
    assert account["preprocessing"]["crop"] == "random"
    assert account["library_versions"] == attributes.library_versions


def test_splits_add_up_to_what_is_stored(permafrost, store_states):
    account = account_of(permafrost, store_states["sealed"])[1]
    train, validation = account["splits"]["train"], account["splits"]["validation"]
    assert (train["episodes"], validation["episodes"]) == (5, 1)
    for name in ("episodes", "trajectories", "frames"):
        assert train[name] + validation[name] == account[name]
    assert train["hours"] + validation["hours"] == pytest.approx(account["hours"])


def test_an_indexed_store_tells_the_recipe_it_will_be_made_with(permafrost, store_states):
    account = account_of(permafrost, store_states["indexed"])[1]
    assert (account["recipe"]["crop"], account["quantisation"], account["uuid"]) == ("random", "int8", None)


def test_a_damaged_store_tells_what_can_be_read(permafrost, store_states, tmp_path):
    store = shutil.copytree(store_states["partly_encoded"], tmp_path / "copy.zarr")
    (store / "trajectories.parquet").unlink()
    code, account = account_of(permafrost, store, "--frames", 3, "--output", tmp_path / "none.png")
    assert (code, account["state"], account["splits"]) == (1, "damaged", None)
    assert account["encoder_details"]["width"] == 96
    assert not (tmp_path / "none.png").exists()


def test_people_read_weights_and_source(permafrost, store_states):
    code, out, _ = permafrost("inspect", store_states["sealed"])
    weights = Store.open(store_states["sealed"]).attributes.fingerprint.encoder.weights_sha256
    assert code == 0
    assert f"weights {weights[:12]}, 64 px" in out
    assert "attribution: DROID" in out
    assert "physical, 4 Hz" in out


class TestPicture:
    def test_is_written_where_it_says(self, permafrost, store_states, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, account = account_of(permafrost, store_states["sealed"], "--frames", 3)
        assert (code, account["picture"]) == (0, "sealed.png")
        with Image.open(tmp_path / "sealed.png") as picture:
            assert min(picture.size) > 300
            assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50

    @pytest.mark.parametrize("state", ["partly_encoded", "encoded", "being_extended"])
    def test_an_unfinished_store_has_one_too(self, permafrost, store_states, tmp_path, state):
        picture = tmp_path / "folder" / "drawn.png"
        code, account = account_of(permafrost, store_states[state], "--frames", 2, "--output", picture)
        assert (code, account["picture"]) == (0, str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG")

    def test_odd_names_are_drawn_without_a_warning(self, make_store, tmp_path):
        path = make_store(tmp_path / "積み木$x$.zarr", sealed=False)
        odd = [replace(t, task="$", camera="left") for t in Store.open(path).planned_trajectories]
        write_table(path / "trajectories.parquet", odd, TRAJECTORY_SCHEMA)
        store = Store.open(path)
        drawn = draw_stored_frames(store, 2, trajectory=0, seed=0)
        odd_name = replace(drawn[0].trajectory, episode_id="積み木$x_1$" * 20)
        figure = draw_store_picture(store, [replace(drawn[0], trajectory=odd_name)])
        figure.draw_without_rendering()
        title = figure.axes[0].get_title()
        assert title.isascii()
        assert len(title.splitlines()[0]) < 50

    @pytest.mark.parametrize("num_trajectories", [1, 2, 3, 5])
    @pytest.mark.parametrize("num_frames", [1, 3, 16])
    def test_has_axes_for_every_trajectory_drawn(self, make_store, tmp_path, num_trajectories, num_frames):
        path = make_store(tmp_path / "store.zarr", trajectories=[(20, "train")] * num_trajectories)
        store = Store.open(path)
        drawn = draw_stored_frames(store, num_frames, trajectory=None, seed=0)
        figure = draw_store_picture(store, drawn)
        used = [axes for axes in figure.axes if axes.axison]
        assert len(used) == len(drawn) == min(num_trajectories, 4)
        assert all(len(axes.images) == 2 * num_frames for axes in used)


class TestFrames:
    """Trajectories of 40, 129, 16, 12, 24, 30 and 12 frames; the thumbnail of frame t has the grey 1 + t."""

    def test_are_spread_evenly_with_the_first_and_the_last(self, tiny_store):
        (drawn,) = draw_stored_frames(Store.open(tiny_store), 3, trajectory=0, seed=0)
        assert drawn.offsets == (0, 20, 39)
        assert drawn.thumbnails_FHWC[:, 0, 0, 0].tolist() == [1, 21, 40]

    def test_reach_over_all_slots_of_a_trajectory(self, tiny_store):
        (drawn,) = draw_stored_frames(Store.open(tiny_store), 2, trajectory=1, seed=0)
        assert drawn.offsets == (0, 128)
        assert drawn.thumbnails_FHWC[:, 0, 0, 0].tolist() == [1, 129]

    @pytest.mark.parametrize("quantisation", list(Quantisation))
    def test_latents_are_those_that_zarr_python_reads(self, make_store, tmp_path, quantisation):
        path = make_store(tmp_path / "store.zarr", quantisation=quantisation)
        store = Store.open(path)
        (drawn,) = draw_stored_frames(store, 2, trajectory=2, seed=0)
        addresses = [store.trajectories[2].first_frame + offset for offset in drawn.offsets]
        latents = np.stack([open_array(path, "latents")[address] for address in addresses])
        if quantisation is Quantisation.INT8:
            scales = np.stack([open_array(path, "token_scale")[address] for address in addresses])
            std, mean = (open_array(path, name)[:] for name in ("channel_std", "channel_mean"))
            latents = latents * scales.astype(np.float32)[:, :, None] * std + mean
        assert drawn.latents_FND == pytest.approx(latents.astype(np.float32), rel=1e-6)

    def test_come_from_finished_slots_alone(self, store_states):
        """Slots 0 and 3 are done, the latter being the first 128 frames of a trajectory of 139."""
        drawn = draw_stored_frames(Store.open(store_states["partly_encoded"]), 3, trajectory=None, seed=0)
        assert [frames.trajectory.first_slot for frames in drawn] == [0, 3]
        assert drawn[1].offsets == (0, 64, 127)

    def test_a_short_trajectory_shows_all_it_has(self, make_store, tmp_path):
        path = make_store(tmp_path / "store.zarr", trajectories=[(5, "train"), (20, "train")])
        drawn = draw_stored_frames(Store.open(path), 8, trajectory=None, seed=0)
        assert [len(frames.offsets) for frames in drawn] == [5, 8]

    def test_the_seed_chooses_up_to_four_trajectories(self, tiny_store):
        store = Store.open(tiny_store)
        draws = [draw_stored_frames(store, 1, trajectory=None, seed=seed) for seed in (0, 0, 1, 2, 3)]
        chosen = [tuple(frames.trajectory.index for frames in drawn) for drawn in draws]
        assert chosen[0] == chosen[1]
        assert len(set(chosen)) > 1
        assert all(len(set(indices)) == 4 for indices in chosen)

    def test_a_damaged_slot_is_named(self, make_store, tmp_path):
        path = make_store(tmp_path / "store.zarr")
        file = path / "latents" / "c" / "1" / "0" / "0"
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        file.write_bytes(content)
        with pytest.raises(DamagedStoreError, match="Frame 0 of slot 1"):
            draw_stored_frames(Store.open(path), 1, trajectory=1, seed=0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--frames", "0"], "--frames is 1 to 16, the pictures in a line; got 0."),
            (["--frames", "17"], "--frames is 1 to 16, the pictures in a line; got 17."),
            (["--frames", "3", "--trajectory", "6"], "--trajectory 6: the store has trajectories 0 to 5."),
            (["--frames", "3", "--trajectory", "-1"], "--trajectory -1: the store has trajectories 0 to 5."),
            (["--frames", "3", "--seed", "-1"], "--seed is 0 or more; got -1."),
            (["--seed", "1"], "--output, --trajectory and --seed go with --frames."),
            (["--output", "x.png"], "--output, --trajectory and --seed go with --frames."),
        ],
    )
    def test_what_a_user_mistypes_is_one_message(self, permafrost, store_states, options, message):
        code, out, err = permafrost("inspect", store_states["sealed"], *options)
        assert (code, out, err) == (1, "", f"permafrost: {message}\n")

    def test_a_picture_that_is_a_folder(self, permafrost, store_states, tmp_path):
        code, out, err = permafrost("inspect", store_states["sealed"], "--frames", 1, "--output", tmp_path)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert list(tmp_path.parent.glob("*.partial")) == []

    @pytest.mark.parametrize("state", ["planned", "calibrated"])
    def test_a_store_without_a_finished_slot(self, store_states, state):
        with pytest.raises(NothingStoredError, match=rf"Store {state}.zarr has no finished slot yet"):
            draw_stored_frames(Store.open(store_states[state]), 3, trajectory=None, seed=0)

    def test_a_store_that_is_not_planned(self, permafrost, store_states):
        code, out, err = permafrost("inspect", store_states["indexed"], "--frames", 3)
        assert (code, out) == (1, "")
        assert "is not planned yet, so there is no frame to draw. Run `permafrost featurize" in err

    def test_a_trajectory_whose_turn_has_not_come(self, store_states):
        with pytest.raises(NothingStoredError, match=r"Trajectory 1 \(episode LAB\+1.* has no written slot"):
            draw_stored_frames(Store.open(store_states["partly_encoded"]), 3, trajectory=1, seed=0)

    def test_more_frames_than_a_line_holds(self, tiny_store):
        with pytest.raises(OptionError, match="got 99"):
            draw_stored_frames(Store.open(tiny_store), 99, trajectory=0, seed=0)
