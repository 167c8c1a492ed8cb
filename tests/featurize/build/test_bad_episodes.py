"""One episode of every fault in one source folder: the build finishes, and the rejects table names each."""

import re
import shutil

import numpy as np
import pytest

from featurize.errors import TooManyRejectsError
from featurize.index import index, indexed
from featurize.rejects import RejectReason
from store_schema.store import Store
from store_schema.tables import read_rejects

from ..droid_files import DroidFolder, write_episode
from ..sources.test_droid_rejects import DAMAGES
from .builds import build_at, build_store

NUM_GOOD = 3


def damage_inside_the_video(folder):
    """Every packet is there, and 200 bytes of one are noise."""
    data = bytearray(folder.video.read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 200] = np.random.default_rng(0).bytes(200)
    folder.video.write_bytes(data)


@pytest.fixture(scope="module")
def bad_source(tmp_path_factory):
    """Folder name by fault; three good episodes, and one of them twice."""
    root = tmp_path_factory.mktemp("bad") / "source"
    whole = write_episode(root / "good-0", uuid="AUTOLab+good+0")
    for number in range(1, NUM_GOOD):
        copy_as(whole, root / f"good-{number}", f"AUTOLab+good+{number}")
    copy_as(whole, root / "good-0-again", "AUTOLab+good+0")
    for number, damage in enumerate(DAMAGES.values()):
        damage.do(copy_as(whole, root / f"bad/{number:02d}/episode", f"AUTOLab+bad+{number:02d}"))
    damage_inside_the_video(copy_as(whole, root / "noise", "AUTOLab+noise"))
    return root


def copy_as(folder, target, uuid):
    copy = DroidFolder(shutil.copytree(folder.path, target))
    copy.metadata.rename(copy.path / f"metadata_{uuid}.json")
    return copy


@pytest.fixture(scope="module")
def report_and_build(bad_source, tmp_path_factory):
    build = build_at(tmp_path_factory.mktemp("bad") / "store.zarr", bad_source, max_rejects=1.0)
    return build_store(build), build


def test_every_fault_is_in_the_rejects_table_with_its_reason_and_detail(report_and_build, bad_source):
    _, build = report_and_build
    by_id = {reject.episode_id: reject for reject in read_rejects(build.store / "rejects.parquet")}
    for number, (name, damage) in enumerate(DAMAGES.items()):
        # Without a metadata file of its own, an episode goes by its folder.
        ids = (f"AUTOLab+bad+{number:02d}", f"bad/{number:02d}/episode", "x")
        (reject,) = [by_id[episode_id] for episode_id in ids if episode_id in by_id][:1]
        assert (reject.stage, reject.reason) == ("index", damage.reason), name
        assert re.search(damage.detail, reject.detail), name
    assert by_id["AUTOLab+noise"].reason == RejectReason.VIDEO_UNREADABLE
    assert "is damaged at frame" in by_id["AUTOLab+noise"].detail
    assert by_id["AUTOLab+good+0"].reason == RejectReason.DUPLICATE_EPISODE
    assert (
        by_id["AUTOLab+good+0"].detail
        == "Folder good-0-again holds the same episode as good-0, which is kept."
    )
    assert len(by_id) == len(DAMAGES) + 2


def test_the_good_episodes_are_stored_and_the_report_counts_the_others(report_and_build):
    report, build = report_and_build
    stored = {trajectory.episode_id for trajectory in Store.open(build.store).trajectories}
    assert stored == {f"AUTOLab+good+{number}" for number in range(NUM_GOOD)}
    assert report.num_episodes == NUM_GOOD
    assert sum(report.rejects.values()) == len(DAMAGES) + 2
    assert report.rejects["two_metadata"] == 1


def test_more_rejects_than_allowed_fail_with_the_counts_and_a_table_to_look_into(bad_source, tmp_path):
    build = build_at(tmp_path / "store.zarr", bad_source)
    num_bad = len(DAMAGES) + 2
    expected = (
        rf"{num_bad} of {num_bad + NUM_GOOD} episodes were rejected; --max-rejects allows a share of 0\.2\. "
        rf"{NUM_GOOD} of {num_bad + NUM_GOOD} episodes usable; rejected: duplicate_episode 1, .*"
        r"too_short \d+.* Each is listed in build/rejects\.parquet of the store\. "
        r"Mend the source, or raise --max-rejects\."
    )
    with pytest.raises(TooManyRejectsError, match=expected):
        index(build)
    assert len(read_rejects(build.folder / "rejects.parquet")) == num_bad
    with pytest.raises(TooManyRejectsError, match="episodes were rejected"):
        indexed(build)
    more = build.model_copy(update={"max_rejects": 1.0})
    assert indexed(more).num_rejected == num_bad


def test_a_source_without_episodes_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        TooManyRejectsError, match=r"No episode was found\. Point --source at a folder of DROID raw"
    ):
        index(build_at(tmp_path / "store.zarr", tmp_path / "empty"))
