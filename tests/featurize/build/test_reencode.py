"""Frames encoded again are those that are stored, and what differs is named."""

import shutil

import numpy as np
import pytest

from featurize.errors import SourceMovedError, StepOrderError
from featurize.reencode import draw_frames, reencode_problems
from store_schema.layout import slot_path
from store_schema.store import Store
from store_schema.verify import verify_values

from .builds import POSE_KEY, copied, folder_of

EVERY_FRAME = 10_000


@pytest.fixture
def own(finished, source, tmp_path):
    """A copy of the finished build, with a source of its own."""
    shutil.copytree(source, tmp_path / "source")
    return copied(finished, tmp_path / "own.zarr", source_root=tmp_path / "source")


def test_every_frame_of_a_build_is_encoded_to_the_same_bytes_on_the_same_machine(finished):
    problems = reencode_problems(finished, num_frames=EVERY_FRAME, seed=0, latent_tolerance=0.0)
    assert list(problems) == []


def test_a_build_breaks_no_rule_of_values(finished):
    assert list(verify_values(finished.store)) == []


def test_frames_are_drawn_once_each_over_all_slots_and_by_the_seed(finished):
    store = Store.open(finished.store)
    everything = draw_frames(store, EVERY_FRAME, 0, 32)
    assert sum(map(len, everything.values())) == store.stored_frames
    assert {slot for slot, _ in everything} == set(store.ledger)
    assert all(
        frame in batch and len(batch) <= 32 for (_, batch), frames in everything.items() for frame in frames
    )
    few = draw_frames(store, 8, 1, 32)
    assert sum(map(len, few.values())) == 8
    assert few == draw_frames(store, 8, 1, 32) != draw_frames(store, 8, 2, 32)


def test_another_source_than_the_build_s_is_named(own):
    folder = folder_of(own.source_root, "LAB+0+2023-07-07")
    folder.edit_rows(POSE_KEY, lambda pose: np.add(pose, 0.25, out=pose))
    found = {(p.kind, p.where) for p in reencode_problems(own, num_frames=EVERY_FRAME, seed=0)}
    arrays = ("states", "actions")
    assert found == {("differs_from_source", f"slot 0, array {name}") for name in arrays}


def test_latents_of_other_frames_are_named(own):
    spec = Store.open(own.store).specs["latents"]
    file = own.store / slot_path(spec, 0)
    data = bytearray(file.read_bytes())
    data[: spec.item_bytes] = data[3 * spec.item_bytes : 4 * spec.item_bytes]
    file.write_bytes(data)
    problems = list(reencode_problems(own, num_frames=EVERY_FRAME, seed=0))
    assert [problem.where for problem in problems] == ["slot 0, array latents"]
    assert "Frame 0 differs from its new encoding by" in problems[0].detail


def test_an_episode_that_the_source_has_lost_is_named(own):
    folder_of(own.source_root, "LAB+0+2023-07-07").video.write_bytes(b"not a video")
    (problem, *_) = reencode_problems(own, num_frames=EVERY_FRAME, seed=0)
    assert (problem.slot, "no longer serves it" in problem.detail) == (0, True)


def test_a_store_without_its_index_says_how_to_get_one(own):
    shutil.rmtree(own.folder)
    with pytest.raises(StepOrderError, match=r"own.zarr has no build/episodes.parquet.*--step index"):
        list(reencode_problems(own, num_frames=1, seed=0))


def test_a_source_that_is_not_there_is_told_once(own, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceMovedError):
        list(
            reencode_problems(
                own.model_copy(update={"source_root": tmp_path / "empty"}), num_frames=1, seed=0
            )
        )
