"""A process's share of every update: batch_clips is the clips of all processes together."""

from dataclasses import dataclass

from train.recipe import TrainRecipe


class ShareError(ValueError):
    """A batch cannot be divided into equal shares among the processes of a run."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """`clips` of every update, taken to the device `micro_batch_clips` at a time."""

    clips: int
    micro_batch_clips: int

    @property
    def micro_batches(self) -> int:
        """Passes that one update accumulates."""
        return self.clips // self.micro_batch_clips


def share_of(recipe: TrainRecipe, num_processes: int) -> Share:
    """The equal share of each process; a share below the recipe's micro-batch is taken whole.

    Worked example: 256 clips in micro-batches of 8 are 32 clips in 4 passes for each of 8 processes, and
    4 clips in 1 pass for each of 64. Raises ShareError.
    """
    clips, left_over = divmod(recipe.batch_clips, num_processes)
    if left_over:
        raise ShareError(
            f"batch_clips {recipe.batch_clips} does not divide among {num_processes} processes; start a "
            "number of processes that divides it, or begin another run with another batch_clips."
        )
    at_once = min(recipe.micro_batch_clips, clips)
    if clips % at_once:
        raise ShareError(
            f"Each of {num_processes} processes has {clips} of batch_clips {recipe.batch_clips}, which is no "
            f"multiple of micro_batch_clips {at_once}; choose a divisor of {clips} with --micro-batch-clips."
        )
    return Share(clips=clips, micro_batch_clips=at_once)
