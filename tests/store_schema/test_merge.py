"""Merging copies finished slots of stores that were made alike, and refuses all others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from store_schema.attributes import StoreAttributes
from store_schema.errors import DamagedStoreError
from store_schema.format import SLOT_FRAMES, Quantisation
from store_schema.integrity import digest
from store_schema.joining import JoinError, joined_plan
from store_schema.layout import open_group, read_attributes, slot_path, write_attributes
from store_schema.merge import merge_stores
from store_schema.store import Store
from store_schema.verify import verify_hashes

from .rewriting import with_other_episodes

MakeStore = Callable[..., Path]


@pytest.fixture(params=["int8", "float16"])
def parts(request: pytest.FixtureRequest, make_store: MakeStore, tmp_path: Path) -> list[Path]:
    """Two stores of one fingerprint and different episodes: 8 slots each."""
    first = make_store(tmp_path / "first.zarr", quantisation=Quantisation(request.param))
    return [first, with_other_episodes(first, tmp_path / "second.zarr")]


def latents_of(path: Path, trajectory_index: int) -> np.ndarray:
    trajectory = Store.open(path).planned_trajectories[trajectory_index]
    first = trajectory.first_slot * SLOT_FRAMES
    return np.array(open_group(path)["latents"][first : first + trajectory.num_frames])


def test_the_merged_store_holds_every_trajectory_of_its_parts(parts: list[Path], tmp_path: Path) -> None:
    report = merge_stores(parts, tmp_path / "all.zarr")
    merged = Store.open(tmp_path / "all.zarr")
    assert (report.num_trajectories, report.num_slots, report.num_copied) == (14, 16, 16)
    assert merged.attributes.sealed
    assert [t.index for t in merged.trajectories] == list(range(14))
    assert list(verify_hashes(tmp_path / "all.zarr")) == []
    for index in range(7):
        assert np.array_equal(latents_of(merged.path, 7 + index), latents_of(parts[1], index))
        assert np.array_equal(latents_of(merged.path, index), latents_of(parts[0], index))


def test_the_merged_store_says_what_it_was_made_from(parts: list[Path], tmp_path: Path) -> None:
    merge_stores(parts, tmp_path / "all.zarr")
    attributes = Store.open(tmp_path / "all.zarr").attributes
    assert [origin.uuid for origin in attributes.merged_from] == [
        Store.open(part).attributes.uuid for part in parts
    ]
    assert attributes.source == Store.open(parts[0]).attributes.source
    assert attributes.fingerprint == Store.open(parts[0]).attributes.fingerprint


def test_the_parts_are_left_as_they_are(parts: list[Path], tmp_path: Path) -> None:
    before = [digest(part) for part in parts]
    merge_stores(parts, tmp_path / "all.zarr")
    assert [digest(part) for part in parts] == before


def test_the_same_merge_gives_the_same_bytes_however_often_it_is_stopped(
    parts: list[Path], tmp_path: Path
) -> None:
    merge_stores(parts, tmp_path / "at_once.zarr")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            merge_stores(parts, tmp_path / "stopped.zarr", stop)
    assert merge_stores(parts, tmp_path / "stopped.zarr").num_copied == 16 - 3
    assert digest(tmp_path / "stopped.zarr") == digest(tmp_path / "at_once.zarr")


def test_a_finished_merge_is_left_as_it_is(parts: list[Path], tmp_path: Path) -> None:
    merge_stores(parts, tmp_path / "all.zarr")
    before = digest(tmp_path / "all.zarr")
    assert merge_stores(parts, tmp_path / "all.zarr").num_copied == 0
    assert digest(tmp_path / "all.zarr") == before


def test_stores_of_other_channel_statistics_are_refused_with_the_way_out(
    make_store: MakeStore, tmp_path: Path
) -> None:
    parts = [make_store(tmp_path / f"{seed}.zarr", seed=seed) for seed in (0, 1)]
    with pytest.raises(JoinError, match=r"1.zarr was quantised by other .* --statistics-from 0.zarr`"):
        merge_stores(parts, tmp_path / "all.zarr")
    assert not (tmp_path / "all.zarr").exists()


def test_stores_of_another_fingerprint_are_refused_with_the_field(
    make_store: MakeStore, tmp_path: Path
) -> None:
    kinds = [Quantisation.INT8, Quantisation.FLOAT16]
    parts = [make_store(tmp_path / f"{kind}.zarr", quantisation=kind) for kind in kinds]
    with pytest.raises(
        JoinError, match=r"made differently. quantisation: int8 and float16. Build both under"
    ):
        merge_stores(parts, tmp_path / "all.zarr")


def test_a_store_that_is_not_finished_is_refused(building_store: Path, tmp_path: Path) -> None:
    with pytest.raises(JoinError, match=r"building.zarr is not finished; run `permafrost featurize` on it"):
        merge_stores([building_store, building_store], tmp_path / "all.zarr")


def test_one_store_alone_is_refused(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(JoinError, match="takes at least two stores, got 1"):
        merge_stores([tiny_store], tmp_path / "all.zarr")


def test_the_same_trajectory_twice_is_refused(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(JoinError, match=r"Episode episode-0, camera .* is there twice with the same crop"):
        merge_stores([tiny_store, tiny_store], tmp_path / "all.zarr")


def test_another_crop_of_an_episode_becomes_its_next_view(tiny_store: Path, tmp_path: Path) -> None:
    other = with_other_episodes(tiny_store, tmp_path / "crop.zarr", suffix="", crop_top_px=1)
    placed = joined_plan([Store.open(tiny_store), Store.open(other)]).trajectories
    assert {t.view for t in placed[:7]} == {0}
    assert {t.view for t in placed[7:]} == {1}


def test_an_episode_on_both_sides_of_the_hold_out_is_refused(tiny_store: Path, tmp_path: Path) -> None:
    other = with_other_episodes(tiny_store, tmp_path / "split.zarr", suffix="", crop_top_px=1, split="train")
    with pytest.raises(JoinError, match=r"2 episodes are held out in one store .* the first is episode-5"):
        merge_stores([tiny_store, other], tmp_path / "all.zarr")


def test_another_store_at_the_place_is_not_touched(parts: list[Path], tmp_path: Path) -> None:
    other = with_other_episodes(parts[0], tmp_path / "other.zarr", suffix="-c")
    before = digest(other)
    with pytest.raises(JoinError, match=r"other.zarr is another store already; nothing was changed"):
        merge_stores(parts, other)
    assert digest(other) == before


@pytest.mark.parametrize("name", ["first.zarr", "note.txt"])
def test_a_part_or_a_file_cannot_be_where_the_merged_store_goes(
    parts: list[Path], tmp_path: Path, name: str
) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(
        JoinError, match=rf"{name} is a part of the merge, or no folder. Choose another --out"
    ):
        merge_stores(parts, tmp_path / name)


def test_damage_in_a_part_stops_the_merge_and_is_named(parts: list[Path], tmp_path: Path) -> None:
    store = Store.open(parts[1])
    file = parts[1] / slot_path(store.specs["states"], 2)
    file.write_bytes(bytes(len(file.read_bytes())))
    with pytest.raises(DamagedStoreError, match=r"states/c/2/0 of second.zarr is not what was written"):
        merge_stores(parts, tmp_path / "all.zarr")
    shutil.rmtree(tmp_path / "all.zarr")


def test_credits_of_different_sources_are_all_kept(parts: list[Path], tmp_path: Path) -> None:
    attributes = StoreAttributes.parse(read_attributes(parts[1]))
    source = attributes.source.model_copy(update={"attribution": "Another lab", "licence": "Ask first."})
    write_attributes(parts[1], attributes.model_copy(update={"source": source}).model_dump(mode="json"))
    merge_stores(parts, tmp_path / "all.zarr")
    joined = Store.open(tmp_path / "all.zarr").attributes.source
    assert joined.attribution == "Drawn for the tests.\n\nAnother lab"
    assert joined.licence == "No rights reserved.\n\nAsk first."


def test_what_a_merged_part_was_made_of_is_kept(parts: list[Path], tmp_path: Path) -> None:
    merge_stores(parts, tmp_path / "two.zarr")
    third = with_other_episodes(parts[0], tmp_path / "third.zarr", suffix="-c")
    merge_stores([tmp_path / "two.zarr", third], tmp_path / "three.zarr")
    attributes = Store.open(tmp_path / "three.zarr").attributes
    assert [origin.uuid for origin in attributes.merged_from] == [
        Store.open(part).attributes.uuid for part in (*parts, third)
    ]
    assert attributes.source == Store.open(parts[0]).attributes.source


def test_what_is_left_of_a_store_is_not_written_over(parts: list[Path], tmp_path: Path) -> None:
    left = Path(shutil.copytree(parts[0], tmp_path / "left.zarr"))
    (left / "zarr.json").unlink()
    before = (left / "trajectories.parquet").read_bytes()
    with pytest.raises(JoinError, match=r"left.zarr holds what is left of a store; nothing was changed"):
        merge_stores(parts, left)
    assert (left / "trajectories.parquet").read_bytes() == before
