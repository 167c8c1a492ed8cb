"""Steps in another order, or over another recipe or source: refused by name, and no byte is changed."""

import hashlib
import shutil

import pytest
from pydantic import ValidationError

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.errors import PlanMismatchError, StepOrderError
from featurize.finalise import finalise
from featurize.index import index, indexed
from featurize.plan import plan
from featurize.recipe import FeaturizeRecipe, resolve_recipe
from store_schema.errors import FingerprintMismatchError
from store_schema.store import Store

from ..droid_files import write_episode
from .builds import build_at, planned


def all_bytes(folder):
    """Hash of every file, working files included."""
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}


def with_recipe(build, **options):
    return build.model_copy(update={"recipe": build.recipe.model_copy(update=options)})


def test_plan_needs_an_index(source, tmp_path, encoder):
    with pytest.raises(
        StepOrderError, match=r"indexed with these options; run `permafrost featurize --step index`"
    ):
        plan(build_at(tmp_path / "store.zarr", source), encoder)
    assert not (tmp_path / "store.zarr/zarr.json").exists()


def test_plan_needs_an_index_of_the_same_recipe(source, tmp_path, encoder):
    index(build_at(tmp_path / "store.zarr", source))
    with pytest.raises(StepOrderError, match="has not been indexed with these options"):
        plan(build_at(tmp_path / "store.zarr", source, cameras=("wrist",)), encoder)


@pytest.mark.parametrize("step", [calibrate, encode, lambda build, _: finalise(build)])
def test_the_later_steps_need_a_plan(source, tmp_path, encoder, step):
    build = build_at(tmp_path / "store.zarr", source)
    index(build)
    with pytest.raises(
        StepOrderError, match=r"no store at .*store\.zarr yet; run `permafrost featurize --step plan` first"
    ):
        step(build, encoder)


def test_encode_needs_the_channel_statistics(source, tmp_path, encoder):
    build = planned(build_at(tmp_path / "store.zarr", source), encoder)
    with pytest.raises(
        StepOrderError, match=r"no channel statistics; run `permafrost featurize --step calibrate` first"
    ):
        encode(build, encoder)


OTHER_OPTIONS = {
    "encoder": "vjepa2-vitl",
    "crop": "official",
    "clock": "mp4_nominal",
    "quantisation": "float16",
    "seed": 1,
    "num_views": 2,
    "cameras": ("left", "wrist"),
    "validation_share": 0.5,
    "encode_batch_frames": 1,
}
STEPS = {
    "index": lambda build, _: index(build),
    "plan": plan,
    "calibrate": calibrate,
    "encode": encode,
    "finalise": lambda build, _: finalise(build),
}


@pytest.mark.parametrize("option", OTHER_OPTIONS)
def test_every_step_refuses_another_recipe_by_name_and_changes_no_byte(finished, encoder, option):
    other = with_recipe(
        finished, **FeaturizeRecipe(**{option: OTHER_OPTIONS[option]}).model_dump(include={option})
    )
    before = all_bytes(finished.store)
    assert indexed(other) is None
    for step in STEPS.values():
        with pytest.raises(
            PlanMismatchError,
            match=rf"planned with another recipe; nothing was changed\. {option}: store has .*, asked for "
            r".*\. Leave these options out to continue the store, or use another --store",
        ):
            step(other, encoder)
    assert all_bytes(finished.store) == before


@pytest.mark.parametrize(("field", "value"), [("weights_sha256", "0" * 64), ("dtype", "torch.bfloat16")])
def test_other_weights_are_refused_by_name_and_change_no_byte(
    make_prepared, encoder, monkeypatch, field, value
):
    """What is not an option but part of the fingerprint: the weights in a file, the device's precision."""
    build = make_prepared()
    before = all_bytes(build.store)
    monkeypatch.setattr(encoder, field, value)
    for step in (plan, calibrate, encode):
        with pytest.raises(
            FingerprintMismatchError,
            match=r"under other settings; nothing was changed\. encoder\.(weights_sha256|compute_dtype): "
            r"store has \w+, asked for (0000|bfloat16)",
        ):
            step(build, encoder)
    assert all_bytes(build.store) == before


def test_options_left_out_continue_the_store_as_it_was_begun(source, tmp_path, encoder):
    build = build_at(tmp_path / "store.zarr", source, seed=5, crop="official", cameras=("wrist",))
    index(build)
    assert resolve_recipe(build.store, {"seed": None}) == build.recipe
    plan(build, encoder)
    shutil.rmtree(build.folder)
    # The store itself says it, should the working files be gone.
    assert resolve_recipe(build.store, {"seed": 5}) == build.recipe
    assert resolve_recipe(build.store, {"seed": 6}).seed == 6
    assert resolve_recipe(tmp_path / "other.zarr", {}) == FeaturizeRecipe()


def test_an_index_of_another_recipe_is_made_again_before_there_is_a_plan(source, tmp_path):
    build = build_at(tmp_path / "store.zarr", source)
    index(build)
    other = with_recipe(build, seed=3)
    assert indexed(build) is not None
    assert indexed(other) is None
    index(other)
    assert indexed(other) is not None


def test_planning_again_says_so_and_changes_nothing(finished, encoder):
    before = all_bytes(finished.store)
    assert plan(finished, encoder).already_planned
    assert all_bytes(finished.store) == before


def test_indexing_again_changes_nothing_while_the_source_is_the_same(finished):
    before = all_bytes(finished.store)
    assert index(finished).num_usable == 6
    assert all_bytes(finished.store) == before


def test_indexing_a_planned_store_again_refuses_a_source_that_has_grown(make_prepared, source, tmp_path):
    grown = shutil.copytree(source, tmp_path / "grown")
    write_episode(grown / "new", uuid="LAB+new")
    build = make_prepared(source_root=grown)
    before = all_bytes(build.store)
    with pytest.raises(
        PlanMismatchError, match=r"source is not what the store was planned from; nothing was changed"
    ):
        index(build)
    assert all_bytes(build.store) == before


def test_plan_refuses_other_episodes_when_the_index_is_gone(make_prepared, source, tmp_path, encoder):
    grown = shutil.copytree(source, tmp_path / "grown")
    write_episode(grown / "new", uuid="LAB+new")
    build = make_prepared(source_root=grown)
    shutil.rmtree(build.folder)
    index(build)
    with pytest.raises(
        PlanMismatchError,
        match=r"planned for 6 trajectories, the source now gives 7 or other ones; nothing was",
    ):
        plan(build, encoder)


def test_a_plan_that_was_killed_before_its_last_file_leaves_no_store(source, tmp_path, encoder, monkeypatch):
    from featurize import plan as module

    build = build_at(tmp_path / "store.zarr", source)
    index(build)
    with monkeypatch.context() as patched:
        patched.setattr(module, "create_group", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            plan(build, encoder)
    with pytest.raises(StepOrderError, match="--step plan"):
        calibrate(build, encoder)
    assert not plan(build, encoder).already_planned
    assert Store.open(build.store).attributes.num_slots == 7


def test_two_plans_of_one_recipe_are_the_same_store(make_prepared, source, tmp_path, encoder):
    """No local path, no clock and no random number is in it."""
    elsewhere = planned(
        build_at(tmp_path / "a" / "store.zarr", shutil.copytree(source, tmp_path / "b")), encoder
    )
    calibrate(elsewhere, encoder)
    build = make_prepared()
    ours, theirs = all_bytes(build.store), all_bytes(elsewhere.store)
    assert {p.relative_to(build.store): h for p, h in ours.items()} == {
        p.relative_to(elsewhere.store): h for p, h in theirs.items()
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_views": 0}, "num_views\n  Input should be greater than or equal to 1"),
        ({"cameras": ("top",)}, "Input should be 'left', 'right' or 'wrist'"),
        ({"validation_share": 0}, "validation_share\n  Input should be greater than 0"),
        ({"nun_views": 2}, "nun_views\n  Extra inputs are not permitted"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(ValidationError, match=message):
        resolve_recipe(tmp_path, options)
