"""More episodes in the source of a finished store: appended, and nothing that was finished is touched."""

import os
import shutil

import pytest

from featurize.encode import encode
from featurize.errors import PlanMismatchError, StepOrderError, TooManyRejectsError
from featurize.finalise import finalise
from featurize.growth import is_begun
from featurize.index import index, indexed
from featurize.index_table import read_index
from featurize.plan import draw_trajectories, plan, splits_by_hash
from featurize.sources import credit
from store_schema.integrity import digest
from store_schema.store import Store

from ..droid_files import write_episode
from .builds import build_at, build_store, copied, folder_of
from .growing import (
    NEW_ROWS,
    NUM_NEW_SLOTS,
    NUM_OLD_SLOTS,
    featurize,
    grown_source,
    slot_files,
    stop_after,
    window_hashes,
)


@pytest.fixture(scope="module")
def more(source, tmp_path_factory):
    """The source of `finished`, and three more episodes; not to be changed."""
    return grown_source(source, tmp_path_factory.mktemp("growing") / "more")


@pytest.fixture(scope="module")
def to_grow(finished, more, tmp_path_factory):
    """A copy of the finished store, and its files before it grew."""
    build = copied(finished, tmp_path_factory.mktemp("growing") / "grown.zarr", source_root=more)
    return build, slot_files(build.store, range(NUM_OLD_SLOTS))


@pytest.fixture(scope="module")
def grown(to_grow, encoder):
    """The finished store after it has grown; not to be changed."""
    build, _ = to_grow
    featurize(build, encoder)
    return build


@pytest.fixture
def own(finished, source, tmp_path):
    """A copy of the finished store and of its source."""
    return copied(
        finished, tmp_path / "own.zarr", source_root=shutil.copytree(source, tmp_path / "own-source")
    )


@pytest.fixture
def add_episodes(more):
    """`add_episodes(source)` puts the three into a source."""
    return lambda source: shutil.copytree(more / "added", source / "added")


def working_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_new_episodes_come_after_the_last_slot_in_their_own_order(grown, finished):
    store, before = Store.open(grown.store), Store.open(finished.store)
    assert (store.attributes.revision, store.attributes.sealed) == (2, True)
    assert store.trajectories[:6] == before.trajectories
    new = store.trajectories[6:]
    assert [t.episode_id for t in new] == list(NEW_ROWS)
    assert [t.first_slot for t in new] == [7, 8, 10]
    assert store.attributes.num_slots == NUM_OLD_SLOTS + NUM_NEW_SLOTS
    assert store.attributes.uuid != before.attributes.uuid


def test_new_episodes_are_held_out_by_their_own_hash_alone(grown):
    store = Store.open(grown.store)
    new = store.trajectories[6:]
    assert [t.split for t in new] == ["train", "train", "validation"]
    assert {t.episode_id: t.split for t in new} == splits_by_hash(list(NEW_ROWS), 0.1)
    # Without the last one there would be none to hold out, and none is.
    two = read_index(grown, list(NEW_ROWS)[:2])
    assert {t.split for t in draw_trajectories(two, grown.recipe, after=new)} == {"train"}


def test_an_appended_trajectory_is_what_a_store_of_all_episodes_would_hold(grown, more, encoder, tmp_path):
    """Phase, crop and rows are drawn by episode, whenever it came."""
    whole = build_at(tmp_path / "whole.zarr", more)
    index(whole)
    plan(whole, encoder)
    layout = {"index", "first_slot", "split"}

    def drawn(build):
        planned = Store.open(build.store).planned_trajectories
        return {t.episode_id: {k: v for k, v in vars(t).items() if k not in layout} for t in planned}

    assert drawn(whole) == drawn(grown)


def test_no_file_of_a_finished_slot_is_written_and_its_ledger_rows_stay(to_grow, grown, finished):
    _, before = to_grow
    assert len(before) == 7 * 8 + 2
    assert slot_files(grown.store, range(NUM_OLD_SLOTS)) == before
    ledger = Store.open(grown.store).ledger
    assert {slot: ledger[slot] for slot in range(NUM_OLD_SLOTS)} == dict(Store.open(finished.store).ledger)
    assert list(ledger) == list(range(NUM_OLD_SLOTS + NUM_NEW_SLOTS))


def test_the_first_revision_reads_as_it_did(grown, finished):
    first, before = Store.open(grown.store, revision=1), Store.open(finished.store)
    assert window_hashes(first) == window_hashes(before)
    assert window_hashes(Store.open(grown.store))[: len(window_hashes(before))] == window_hashes(before)
    ignored = {"files"}
    assert first.attributes.model_dump(exclude=ignored) == before.attributes.model_dump(exclude=ignored)


def test_statistics_are_of_all_training_frames_and_those_of_channels_stay(grown, finished):
    store, before = Store.open(grown.store), Store.open(finished.store)
    training = sum(t.num_frames for t in store.split("train"))
    assert store.attributes.statistics.num_frames == training > before.attributes.statistics.num_frames
    assert store.attributes.fingerprint == before.attributes.fingerprint
    assert store.attributes.statistics.states.mean != before.attributes.statistics.states.mean


def test_versions_are_those_that_made_each_revision(own, encoder, monkeypatch, add_episodes):
    from featurize import growth

    newer = {"library_versions": {"torch": "99"}, "code_version": "newer"}
    before = Store.open(own.store).attributes
    add_episodes(own.source_root)
    monkeypatch.setattr(growth, "versions", lambda: newer)
    featurize(own, encoder)
    attributes = Store.open(own.store).attributes
    assert (attributes.library_versions, attributes.code_version) == ({"torch": "99"}, "newer")
    first = attributes.earlier_revisions[0]
    assert (first.library_versions, first.code_version) == (before.library_versions, before.code_version)


def test_without_new_episodes_nothing_changes(own, encoder):
    before = working_times(own.store)
    assert indexed(own).num_usable == 6
    report = featurize(own, encoder)
    assert (report.revision, report.num_episodes) == (1, 6)
    assert working_times(own.store) == before


def test_known_episodes_are_not_opened(grown, encoder, tmp_path, more):
    """Their folders are listed, and nothing in them could be read."""
    unreadable = shutil.copytree(more, tmp_path / "unreadable")
    for path in unreadable.rglob("*.*"):
        if path.is_file():
            path.write_bytes(b"")
    write_episode(unreadable / "new", uuid="LAB+newest+2023-07-09")
    build = copied(grown, tmp_path / "third.zarr", source_root=unreadable)
    assert indexed(build) is None
    report = featurize(build, encoder)
    assert (report.revision, report.num_episodes, report.rejects) == (3, 10, {})


def test_two_appends_one_after_the_other_make_two_revisions(grown, finished, encoder, tmp_path, more):
    write_episode(shutil.copytree(more, tmp_path / "yet-more") / "new", uuid="LAB+newest+2023-07-09")
    build = copied(grown, tmp_path / "third.zarr", source_root=tmp_path / "yet-more")
    featurize(build, encoder)
    store = Store.open(build.store)
    sizes = [store.at_revision(number).attributes.num_slots for number in (1, 2, 3)]
    assert sizes == [7, 11, 12]
    uuids = [store.at_revision(number).attributes.uuid for number in (1, 2)]
    assert uuids == [Store.open(at.store).attributes.uuid for at in (finished, grown)]
    assert window_hashes(store.at_revision(2)) == window_hashes(Store.open(grown.store))


def test_new_episodes_may_lie_on_another_root_with_the_old_ones_gone(
    finished, encoder, tmp_path, grown, add_episodes
):
    build = copied(finished, tmp_path / "elsewhere.zarr", source_root=tmp_path / "elsewhere")
    add_episodes(build.source_root)
    # The folder of an episode that the store has, by name, is another episode there.
    write_episode(build.source_root / "episode-0", uuid="MMM+new+2023-07-08")
    assert featurize(build, encoder).num_episodes == 10
    ids = [t.episode_id for t in Store.open(build.store).trajectories[6:]]
    assert ids == sorted([*NEW_ROWS, "MMM+new+2023-07-08"])


def test_a_store_without_its_working_files_grows_into_the_same(finished, grown, more, encoder, tmp_path):
    build = copied(finished, tmp_path / "sent.zarr", source_root=more)
    shutil.rmtree(build.folder)
    assert indexed(build) is None
    featurize(build, encoder)
    assert digest(build.store) == digest(grown.store)


def test_a_store_without_its_working_files_and_nothing_new_stays_as_it_is(finished, encoder, tmp_path):
    build = copied(finished, tmp_path / "sent.zarr")
    shutil.rmtree(build.folder)
    assert indexed(build).num_usable == 6
    featurize(build, encoder)
    assert digest(build.store) == digest(finished.store)


@pytest.mark.parametrize(
    ("name", "shown"), [("zzz-again", "zzz-again"), (os.fsdecode(b"zzz-\xff"), r"zzz-\udcff")]
)
def test_a_known_episode_in_another_folder_is_a_reject_and_no_revision(
    own, encoder, add_episodes, name, shown
):
    before = digest(own.store)
    known = folder_of(own.source_root, "LAB+2+2023-07-07").path
    shutil.copytree(known, own.source_root / name)
    assert indexed(own) is None
    report = featurize(own, encoder)
    assert (report.revision, digest(own.store)) == (1, before)
    assert indexed(own).rejects == {"duplicate_episode": 1}
    add_episodes(own.source_root)
    featurize(own, encoder)
    (reject,) = Store.open(own.store).rejects
    assert reject.detail == f"Folder {shown} holds the same episode as episode-2, which is kept."


def test_an_episode_that_was_moved_is_the_same_episode(own, encoder):
    shutil.move(own.source_root / "episode-2", own.source_root / "moved")
    assert indexed(own) is not None
    assert featurize(own, encoder).revision == 1


def broken_at(folder, episode_id):
    broken = write_episode(folder, uuid=episode_id)
    whole = broken.video.read_bytes()
    broken.video.write_bytes(whole[:-2000])
    return broken, whole


def test_new_episodes_that_are_all_rejected_make_no_revision(own, encoder):
    before = digest(own.store)
    broken_at(own.source_root / "broken", "LAB+broken")
    assert featurize(own, encoder).revision == 1
    assert digest(own.store) == before
    assert indexed(own).rejects == {"video_unreadable": 1}


def test_a_rejected_episode_is_looked_at_again_by_index_alone(own, encoder, add_episodes):
    broken, whole = broken_at(own.source_root / "broken", "LAB+broken")
    add_episodes(own.source_root)
    featurize(own, encoder)
    assert Store.open(own.store).rejects_by_reason() == {"video_unreadable": 1}
    broken.video.write_bytes(whole)
    assert featurize(own, encoder).revision == 2
    index(own)
    report = featurize(own, encoder)
    assert (report.revision, report.num_episodes, report.rejects) == (3, 10, {})
    assert [t.episode_id for t in Store.open(own.store).trajectories[9:]] == ["LAB+broken"]


def test_rejects_are_counted_over_all_episodes_of_the_store(own, encoder, add_episodes):
    for number in range(2):
        broken_at(own.source_root / f"broken-{number}", f"LAB+broken-{number}")
    with pytest.raises(TooManyRejectsError, match=r"2 of 8 episodes were rejected; .* a share of 0\.2"):
        index(own, new_only=True)
    with pytest.raises(TooManyRejectsError, match="2 of 8 episodes were rejected"):
        indexed(own)
    assert Store.open(own.store).attributes.sealed
    add_episodes(own.source_root)
    assert featurize(own, encoder).num_episodes == 9


def test_an_episode_that_breaks_before_it_is_encoded_is_settled_as_rejected(own, encoder, add_episodes):
    add_episodes(own.source_root)
    index(own, new_only=True)
    plan(own, encoder)
    video = folder_of(own.source_root, "AAA+new+2023-07-08").video
    video.write_bytes(video.read_bytes()[:-2000])
    report = featurize(own, encoder)
    assert (report.revision, report.num_episodes, report.rejects) == (2, 8, {"video_unreadable": 1})
    assert Store.open(own.store).ledger[7].status == "rejected"
    assert featurize(own, encoder).revision == 2


@pytest.mark.parametrize("num_writes", [1, 2, 5])
def test_an_append_whose_episodes_vanish_before_they_are_planned_is_taken_back(
    own, encoder, finished, num_writes, add_episodes
):
    add_episodes(own.source_root)
    index(own, new_only=True)
    with stop_after(num_writes), pytest.raises(KeyboardInterrupt):
        plan(own, encoder)
    assert is_begun(Store.open(own.store).attributes)
    with pytest.raises(StepOrderError, match=r"An append to the store was begun.*--step plan"):
        finalise(own)
    shutil.rmtree(own.source_root / "added")
    assert featurize(own, encoder).revision == 1
    assert digest(own.store) == digest(finished.store)
    assert indexed(own).num_usable == 6


def test_episodes_that_come_while_a_store_is_extended_wait_for_the_next_call(own, encoder, add_episodes):
    add_episodes(own.source_root)
    index(own, new_only=True)
    plan(own, encoder)
    write_episode(own.source_root / "late", uuid="LAB+late")
    assert indexed(own) is not None
    with pytest.raises(PlanMismatchError, match="new ones are appended by the first call after the store is"):
        index(own)
    assert featurize(own, encoder).num_episodes == 9
    assert featurize(own, encoder).num_episodes == 10
    assert Store.open(own.store).attributes.revision == 3


def test_a_store_that_is_extended_and_loses_its_working_files_goes_on(own, encoder, grown, add_episodes):
    add_episodes(own.source_root)
    index(own, new_only=True)
    plan(own, encoder)
    encode(own, encoder, [8])
    shutil.rmtree(own.folder)
    with pytest.raises(StepOrderError, match="--step index"):
        plan(own, encoder)
    featurize(own, encoder)
    assert digest(own.store) == digest(grown.store)


def test_episodes_of_another_licence_are_refused(own, encoder, add_episodes):
    before = digest(own.store)
    add_episodes(own.source_root)
    (own.source_root / credit.LICENCE_FILE).write_text("For research alone.")
    with pytest.raises(PlanMismatchError, match=r"another licence; nothing was changed.*permafrost merge"):
        index(own, new_only=True)
    assert digest(own.store) == before


def test_a_float16_store_grows_too(source, more, encoder, tmp_path):
    build = build_at(tmp_path / "float16.zarr", source, quantisation="float16")
    build_store(build)
    before = window_hashes(Store.open(build.store))
    report = featurize(build.model_copy(update={"source_root": more}), encoder)
    assert (report.revision, report.num_episodes) == (2, 9)
    assert window_hashes(Store.open(build.store, revision=1)) == before
