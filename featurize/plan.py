"""Step `plan`: decide every trajectory, crop, phase, slot and split from one seed, and write them down."""

import hashlib
import importlib.metadata
import uuid
from dataclasses import dataclass
from typing import Final

import numpy as np

from featurize.crop import draw_box
from featurize.encoder.registry import FrozenEncoder
from featurize.errors import NotEnoughEpisodesError, PlanMismatchError, StepOrderError
from featurize.index import open_source
from featurize.index_table import IndexedStream, read_index, read_index_rejects
from featurize.planned import fingerprint_of
from featurize.recipe import Build, FeaturizeRecipe, indexed_recipe, planned_recipe
from store_schema.attributes import (
    Fingerprint,
    SourceRecord,
    StoreAttributes,
    canonical_sha256,
)
from store_schema.errors import StoreNotFoundError
from store_schema.format import REJECTS_TABLE, TRAJECTORIES_TABLE, array_specs
from store_schema.layout import create_group, read_attributes
from store_schema.tables import (
    REJECT_SCHEMA,
    TRAJECTORY_SCHEMA,
    Split,
    Trajectory,
    read_trajectories,
    write_table,
)

UUID_NAMESPACE: Final = uuid.UUID("5d1f3b0a-9a55-5d5e-8a6f-2f9f3f1f7b6e")
RECORDED_LIBRARIES: Final = ("av", "decord", "numcodecs", "numpy", "permafrost", "timm", "torch", "zarr")


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """What will be stored."""

    num_trajectories: int
    num_frames: int
    num_slots: int
    already_planned: bool


def plan(build: Build, encoder: FrozenEncoder) -> PlanReport:
    """Create the empty store, or check that the one that is there was planned the same way.

    Raises FingerprintMismatchError or PlanMismatchError where it was not, StepOrderError where the source was
    not indexed for this recipe; nothing is changed then.
    """
    _require_recipe(build)
    trajectories = draw_trajectories(read_index(build), build.recipe)
    fingerprint = fingerprint_of(build.recipe, encoder)
    num_slots = sum(trajectory.num_slots for trajectory in trajectories)
    already_planned = _is_planned(build, fingerprint, trajectories)
    if not already_planned:
        write_table(build.store / TRAJECTORIES_TABLE, trajectories, TRAJECTORY_SCHEMA)
        write_table(build.store / REJECTS_TABLE, read_index_rejects(build), REJECT_SCHEMA)
        specs = array_specs(fingerprint.encoder.latent_shape, fingerprint.quantisation)
        attributes = _attributes(build, fingerprint, trajectories, num_slots)
        create_group(build.store, specs, num_slots, attributes.model_dump(mode="json"))
    return PlanReport(
        num_trajectories=len(trajectories),
        num_frames=sum(trajectory.num_frames for trajectory in trajectories),
        num_slots=num_slots,
        already_planned=already_planned,
    )


def draw_trajectories(streams: list[IndexedStream], recipe: FeaturizeRecipe) -> list[Trajectory]:
    """All trajectories in the order of episode, camera and view, laid out slot after slot.

    Each draws from a generator of its own, keyed by seed, episode, camera and view: an episode's draws do
    not depend on which others there are. Raises NotEnoughEpisodesError.
    """
    splits = draw_splits(sorted({stream.episode_id for stream in streams}), recipe.validation_share)
    trajectories: list[Trajectory] = []
    first_slot = 0
    for stream, view in ((stream, view) for stream in streams for view in range(recipe.num_views)):
        drawn = _draw(stream, view, recipe, len(trajectories), first_slot, splits[stream.episode_id])
        trajectories.append(drawn)
        first_slot += drawn.num_slots
    return trajectories


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


def _is_planned(build: Build, fingerprint: Fingerprint, trajectories: list[Trajectory]) -> bool:
    try:
        attributes = StoreAttributes.parse(read_attributes(build.store))
    except StoreNotFoundError:
        return False
    attributes.fingerprint.require_same(fingerprint, ignore_statistics=True)
    planned = read_trajectories(build.store / TRAJECTORIES_TABLE)
    if list(planned) != trajectories:
        raise PlanMismatchError(
            f"The store was planned for {len(planned)} trajectories, the source now gives "
            f"{len(trajectories)} or other ones; nothing was changed. "
            "Point --source at the same episodes, or use another --store."
        )
    return True


def _attributes(
    build: Build, fingerprint: Fingerprint, trajectories: list[Trajectory], num_slots: int
) -> StoreAttributes:
    source = open_source(build)
    planned = canonical_sha256([repr(trajectory) for trajectory in trajectories])
    return StoreAttributes(
        format_version=1,
        uuid=str(uuid.uuid5(UUID_NAMESPACE, fingerprint.sha256() + planned)),
        num_slots=num_slots,
        fingerprint=fingerprint,
        recipe=build.recipe.model_dump(mode="json"),
        source=SourceRecord(name=source.name, attribution=source.attribution),
        library_versions={
            name: importlib.metadata.version(name) for name in RECORDED_LIBRARIES if _installed(name)
        },
    )


def _unit_hash(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
