"""Whether finished stores can be joined, and what the joined one then holds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from store_schema.attributes import Origin, SourceRecord, StoreAttributes
from store_schema.errors import StoreError
from store_schema.store import Store
from store_schema.tables import Reject, Split, Trajectory


class JoinError(StoreError):
    """Stores that cannot become one."""


@dataclass(frozen=True, kw_only=True)
class PlacedSlot:
    """Slot `slot` of the joined store is slot `part_slot` of part number `part`."""

    slot: int
    part: int
    part_slot: int


@dataclass(frozen=True, kw_only=True)
class JoinedPlan:
    """All trajectories of the parts, one part after the other, and where each slot comes from."""

    trajectories: tuple[Trajectory, ...]
    rejects: tuple[Reject, ...]
    slots: tuple[PlacedSlot, ...]


def joined_plan(parts: Sequence[Store]) -> JoinedPlan:
    """The plan of the joined store. Raises JoinError naming what stands against it."""
    _require_sealed(parts)
    for other in parts[1:]:
        _require_same_fingerprint(parts[0], other)
    _require_one_split(parts)
    placed: list[Trajectory] = []
    slots: list[PlacedSlot] = []
    for number, part in enumerate(parts):
        offset = len(slots)
        placed += _placed(part.planned_trajectories, placed, offset)
        slots += [
            PlacedSlot(slot=offset + slot, part=number, part_slot=slot)
            for slot in range(part.attributes.num_slots)
        ]
    _require_different(placed)
    rejects = set(chain.from_iterable(part.rejects for part in parts))
    in_order = sorted(rejects, key=lambda reject: (reject.episode_id, reject.detail))
    return JoinedPlan(trajectories=tuple(placed), rejects=tuple(in_order), slots=tuple(slots))


def origin_of(attributes: StoreAttributes, num_trajectories: int) -> Origin:
    """A part as the joined store remembers it."""
    return Origin(
        uuid=attributes.uuid,
        num_trajectories=num_trajectories,
        recipe=attributes.recipe,
        source=attributes.source,
        library_versions=attributes.library_versions,
        code_version=attributes.code_version,
    )


def joined_source(sources: Sequence[SourceRecord]) -> SourceRecord:
    """Everybody to credit, each once, in the order of the parts."""

    def each_once(values: Sequence[str], separator: str) -> str:
        return separator.join(value for value in dict.fromkeys(values) if value)

    return SourceRecord(
        name=each_once([source.name for source in sources], "+"),
        attribution=each_once([source.attribution for source in sources], "\n\n"),
        licence=each_once([source.licence for source in sources], "\n\n"),
    )


def _require_sealed(parts: Sequence[Store]) -> None:
    if len(parts) < 2:
        raise JoinError(f"Merging takes at least two stores, got {len(parts)}.")
    for part in parts:
        if not part.attributes.sealed:
            raise JoinError(
                f"Store {part.path.name} is not finished; run `permafrost featurize` on it first, then merge."
            )


def _require_same_fingerprint(first: Store, other: Store) -> None:
    differing = first.attributes.fingerprint.differences(other.attributes.fingerprint)
    of_statistics = differing.pop("channel_statistics_sha256", None)
    if differing:
        each = "; ".join(f"{name}: {ours} and {theirs}" for name, (ours, theirs) in differing.items())
        raise JoinError(
            f"The latents of {first.path.name} and {other.path.name} were made differently. {each}. "
            "Build both under the same settings."
        )
    if of_statistics:
        raise JoinError(
            f"{other.path.name} was quantised by other channel statistics than {first.path.name}. Build it "
            f"again with `permafrost featurize --statistics-from {first.path.name}`, then merge."
        )


def _require_one_split(parts: Sequence[Store]) -> None:
    sides: dict[str, set[Split]] = defaultdict(set)
    for trajectory in chain.from_iterable(part.planned_trajectories for part in parts):
        sides[trajectory.episode_id].add(trajectory.split)
    on_both = sorted(episode_id for episode_id, splits in sides.items() if len(splits) > 1)
    if on_both:
        raise JoinError(
            f"{len(on_both)} episodes are held out in one store and trained on in another, the first is "
            f"{on_both[0]}: errors on them would look too good. Leave them out of one of the stores."
        )


def _placed(
    trajectories: Sequence[Trajectory], before: Sequence[Trajectory], offset: int
) -> list[Trajectory]:
    """Moved behind those before; a view of an episode that is there already takes the next free number."""
    next_view: dict[tuple[str, str], int] = defaultdict(int)
    for earlier in before:
        key = (earlier.episode_id, earlier.camera)
        next_view[key] = max(next_view[key], earlier.view + 1)
    return [
        replace(
            trajectory,
            index=len(before) + trajectory.index,
            first_slot=offset + trajectory.first_slot,
            view=next_view[trajectory.episode_id, trajectory.camera] + trajectory.view,
        )
        for trajectory in trajectories
    ]


def _require_different(trajectories: Sequence[Trajectory]) -> None:
    """The same frames twice would count twice in every draw."""
    seen: dict[Trajectory, str] = {}
    for trajectory in trajectories:
        key = replace(trajectory, index=0, first_slot=0, view=0)
        if key in seen:
            raise JoinError(
                f"Episode {trajectory.episode_id}, camera {trajectory.camera}, is there twice with the same "
                "crop and phase. Merge stores of different episodes, or of different seeds."
            )
        seen[key] = trajectory.episode_id
