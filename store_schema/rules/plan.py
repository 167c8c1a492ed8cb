"""The rows of the table of trajectories, with each other and with the root attributes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from store_schema.format import TRAJECTORIES_TABLE
from store_schema.problem import Problem
from store_schema.tables import Trajectory


def plan_problems(trajectories: Sequence[Trajectory], num_slots: int) -> Iterator[Problem]:
    """What is wrong with the trajectories that the store counts."""
    for validator in (has_its_row_as_index, has_phase_and_crop, is_on_one_side):
        yield from validator(trajectories)
    yield from lies_within_the_arrays(trajectories, num_slots)
    yield from has_one_owner(trajectories, num_slots)


def has_enough_rows(num_rows: int, num_trajectories: int | None) -> Iterator[Problem]:
    """T3. `trajectories.parquet` MUST have `num_trajectories` rows at least; readers take the first ones."""
    if num_trajectories is not None and num_rows < num_trajectories:
        yield _problem(
            f"The table of trajectories has {num_rows} rows; the store has {num_trajectories} "
            "trajectories. Restore the table from a copy."
        )


def has_its_row_as_index(trajectories: Sequence[Trajectory]) -> Iterator[Problem]:
    """T4. Row i MUST have index i."""
    for row, trajectory in enumerate(trajectories):
        if trajectory.index != row:
            yield _problem(f"Trajectory {trajectory.index} lies in row {row}; its index must be its row.")


def has_phase_and_crop(trajectories: Sequence[Trajectory]) -> Iterator[Problem]:
    """T5. A phase MUST lie in [0, 1), and a crop box MUST have a size and begin inside its frame."""
    for t in trajectories:
        has_box = min(t.crop_height_px, t.crop_width_px) > 0 and min(t.crop_top_px, t.crop_left_px) >= 0
        if not (0 <= t.phase < 1 and has_box):
            box = (t.crop_top_px, t.crop_left_px, t.crop_height_px, t.crop_width_px)
            yield _problem(
                f"Trajectory {t.index} has phase {t.phase} and crop box (top, left, height, width) {box}; "
                "expected a phase in [0, 1) and a box with a size."
            )


def is_on_one_side(trajectories: Sequence[Trajectory]) -> Iterator[Problem]:
    """T6. All trajectories of an episode MUST have the same split."""
    sides = {(t.episode_id, t.split) for t in trajectories}
    for episode_id, split in sorted(sides):
        if split == "train" and (episode_id, "validation") in sides:
            yield _problem(f"Episode {episode_id} is trained on and held out; it must be on one side.")


def lies_within_the_arrays(trajectories: Sequence[Trajectory], num_slots: int) -> Iterator[Problem]:
    """T7. A trajectory MUST take slots 0 to `num_slots` - 1 only."""
    for trajectory in trajectories:
        if trajectory.slots.stop > num_slots:
            yield _problem(
                f"Trajectory {trajectory.index} takes slots up to {trajectory.slots.stop - 1}; "
                f"the store has slots 0 to {num_slots - 1}."
            )


def has_one_owner(trajectories: Sequence[Trajectory], num_slots: int) -> Iterator[Problem]:
    """T8. Every slot MUST belong to exactly one trajectory."""
    owner: dict[int, int] = {}
    for trajectory in trajectories:
        for slot in trajectory.slots:
            if slot in owner:
                yield _problem(
                    f"Slot {slot} belongs to trajectories {owner[slot]} and {trajectory.index}; "
                    "format 1 requires one owner."
                )
            owner[slot] = trajectory.index
    if free := list(islice((slot for slot in range(num_slots) if slot not in owner), 5)):
        yield _problem(f"Slots {free} belong to no trajectory; format 1 requires one owner.")


def owners_of_slots(trajectories: Sequence[Trajectory]) -> Mapping[int, Trajectory]:
    """The trajectory that owns each planned slot."""
    return {slot: trajectory for trajectory in trajectories for slot in trajectory.slots}


def _problem(detail: str) -> Problem:
    return Problem(kind="wrong_plan", where=TRAJECTORIES_TABLE, detail=detail)
