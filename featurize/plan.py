"""Step `plan`: decide every trajectory, crop, phase, slot and split from one seed, and write them down."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurize.crop import draw_box
from featurize.encoder.registry import FrozenEncoder
from featurize.errors import NotEnoughEpisodesError, PlanMismatchError, StepOrderError
from featurize.growth import append, can_grow, is_begun, record_rejects, sealed_trajectories, take_back
from featurize.holding import holding_store
from featurize.index import open_source
from featurize.index_table import IndexedStream, is_indexed, read_index, read_index_rejects
from featurize.planned import fingerprint_of, source_record, versions
from featurize.recipe import Build, FeaturizeRecipe, indexed_recipe, planned_recipe
from store_schema.attributes import Fingerprint, StoreAttributes
from store_schema.errors import StoreNotFoundError
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE
from store_schema.identity import revision_uuid
from store_schema.layout import create_group
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, TRAJECTORY_SCHEMA, Split, Trajectory, write_table


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """What will be stored; num_appended: trajectories that this call appended to a sealed store."""

    num_trajectories: int
    num_frames: int
    num_slots: int
    already_planned: bool
    num_appended: int = 0


@holding_store
def plan(build: Build, encoder: FrozenEncoder) -> PlanReport:
    """Create the empty store, append new episodes to a sealed one, or check that one under way is the same.

    Raises FingerprintMismatchError or PlanMismatchError where it is not, StepOrderError where the source was
    not indexed for this recipe; nothing is changed then.
    """
    _require_recipe(build)
    fingerprint = fingerprint_of(build.recipe, encoder)
    try:
        store = Store.open(build.store)
    except StoreNotFoundError:
        return _create(build, fingerprint)
    store.attributes.fingerprint.require_same(fingerprint, ignore_statistics=True)
    return _append(build, store) if can_grow(store.attributes) else _require_as_planned(build, store)


def draw_trajectories(
    streams: Sequence[IndexedStream], recipe: FeaturizeRecipe, after: Sequence[Trajectory] = ()
) -> list[Trajectory]:
    """All trajectories in the order of episode, camera and view, laid out slot after slot.

    Each draws from a generator of its own, keyed by seed, episode, camera and view: an episode's draws do
    not depend on which others there are. Those of a store that grows lie `after` what it has, and their
    episodes are held out by their own hash alone. Raises NotEnoughEpisodesError.
    """
    episode_ids = sorted({stream.episode_id for stream in streams})
    share = recipe.validation_share
    splits = splits_by_hash(episode_ids, share) if after else draw_splits(episode_ids, share)
    trajectories: list[Trajectory] = []
    first_slot = after[-1].slots.stop if after else 0
    for stream, view in ((stream, view) for stream in streams for view in range(recipe.num_views)):
        index = len(after) + len(trajectories)
        drawn = _draw(stream, view, recipe, index, first_slot, splits[stream.episode_id])
        trajectories.append(drawn)
        first_slot += drawn.num_slots
    return trajectories


def splits_by_hash(episode_ids: Sequence[str], validation_share: float) -> dict[str, Split]:
    """Hold out the episodes whose id hashes below the share, be it none or all."""
    return {
        episode_id: "validation" if _unit_hash(episode_id) < validation_share else "train"
        for episode_id in episode_ids
    }


def draw_splits(episode_ids: list[str], validation_share: float) -> dict[str, Split]:
    """Hold out the episodes whose id hashes below the share; at least one on each side.

    Raises NotEnoughEpisodesError where there are fewer than two.
    """
    if len(episode_ids) < 2:
        raise NotEnoughEpisodesError(
            f"Usable episodes: {len(episode_ids)}; at least 2 are needed to hold one out. "
            "Add episodes to the source."
        )
    by_hash = sorted(episode_ids, key=_unit_hash)
    num_below = sum(_unit_hash(episode_id) < validation_share for episode_id in episode_ids)
    num_held_out = min(max(num_below, 1), len(episode_ids) - 1)
    held_out = set(by_hash[:num_held_out])
    return {episode_id: "validation" if episode_id in held_out else "train" for episode_id in episode_ids}


def _draw(
    stream: IndexedStream, view: int, recipe: FeaturizeRecipe, index: int, first_slot: int, split: Split
) -> Trajectory:
    key = int(_unit_hash(f"{stream.episode_id}/{stream.camera}/{view}") * 2**32)
    rng = np.random.default_rng([recipe.seed, key])
    phase = rng.random()
    box = draw_box(recipe.crop, stream.height_px, stream.width_px, rng)
    return Trajectory(
        index=index,
        episode_id=stream.episode_id,
        lab=stream.lab,
        success=stream.success,
        task=stream.task,
        camera=stream.camera,
        decoder=stream.decoder,
        view=view,
        phase=phase,
        crop_top_px=box.top,
        crop_left_px=box.left,
        crop_height_px=box.height,
        crop_width_px=box.width,
        first_slot=first_slot,
        num_frames=len(stream.rows_at(recipe.clock, phase)),
        split=split,
    )


def _require_recipe(build: Build) -> None:
    """The store must have been planned with this recipe, or else, if it is yet to be, indexed with it."""
    planned = planned_recipe(build.store)
    if planned is not None:
        planned.require_same(build.recipe)
    elif indexed_recipe(build.store) != build.recipe:
        raise StepOrderError(
            "The source has not been indexed with these options; run `permafrost featurize --step index` "
            "with them first."
        )


def _create(build: Build, fingerprint: Fingerprint) -> PlanReport:
    trajectories = draw_trajectories(read_index(build), build.recipe)
    write_table(build.store / TRAJECTORIES_TABLE, trajectories, TRAJECTORY_SCHEMA)
    write_table(build.store / REJECTS_TABLE, read_index_rejects(build), REJECT_SCHEMA)
    attributes = _attributes(build, fingerprint, trajectories)
    create_group(build.store, fingerprint.specs, attributes.num_slots, attributes.model_dump(mode="json"))
    return _report(trajectories, already_planned=False)


def _append(build: Build, store: Store) -> PlanReport:
    planned = store.planned_trajectories
    # A store that was copied or merged comes without an index, and has nothing to append then.
    streams = _streams_beside(build, planned) if is_indexed(build) else []
    more = draw_trajectories(streams, build.recipe, after=planned)
    if more:
        append(store, more, uuid=revision_uuid(store.attributes.fingerprint, [*planned, *more]))
        _record_rejects(build, Store.open(build.store))
    elif is_begun(store.attributes):
        take_back(store)
    return _report([*planned, *more], already_planned=not more, num_appended=len(more))


def _require_as_planned(build: Build, store: Store) -> PlanReport:
    """The plan of a store that is being built, or extended, must be what is drawn from the index again."""
    planned, sealed = store.planned_trajectories, sealed_trajectories(store)
    drawn = draw_trajectories(_streams_beside(build, sealed), build.recipe, after=sealed)
    if list(planned[len(sealed) :]) != drawn:
        raise PlanMismatchError(
            f"The store was planned for {len(planned)} trajectories, the source now gives "
            f"{len(sealed) + len(drawn)} or other ones; nothing was changed. "
            "Point --source at the same episodes, or use another --store."
        )
    _record_rejects(build, store)
    return _report(planned, already_planned=True)


def _streams_beside(build: Build, trajectories: Sequence[Trajectory]) -> list[IndexedStream]:
    """What is indexed of episodes that none of `trajectories` shows."""
    held = {trajectory.episode_id for trajectory in trajectories}
    return [stream for stream in read_index(build) if stream.episode_id not in held]


def _record_rejects(build: Build, store: Store) -> None:
    """After the plan: a call that was killed before it is made up for by the next one."""
    if is_indexed(build):
        record_rejects(store, read_index_rejects(build))


def _report(
    trajectories: Sequence[Trajectory], *, already_planned: bool, num_appended: int = 0
) -> PlanReport:
    return PlanReport(
        num_trajectories=len(trajectories),
        num_frames=sum(trajectory.num_frames for trajectory in trajectories),
        num_slots=sum(trajectory.num_slots for trajectory in trajectories),
        already_planned=already_planned,
        num_appended=num_appended,
    )


def _attributes(
    build: Build, fingerprint: Fingerprint, trajectories: Sequence[Trajectory]
) -> StoreAttributes:
    return StoreAttributes(
        format_version=1,
        uuid=revision_uuid(fingerprint, trajectories),
        num_slots=sum(trajectory.num_slots for trajectory in trajectories),
        num_trajectories=len(trajectories),
        fingerprint=fingerprint,
        recipe=build.recipe.model_dump(mode="json"),
        source=source_record(open_source(build)),
        **versions(),
    )


def _unit_hash(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
