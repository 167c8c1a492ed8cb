"""What a run has learnt so far, and how it gets into and out of its folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from store_schema.provenance import library_versions
from train.checkpoint import Checkpoint, read_tensors
from train.initial_weights import load_initial_weights
from train.predictor import Predictor
from train.provenance import TrainedOn, code_of_training, ensure_same
from train.recipe import TrainRecipe
from train.run_folder import RunFolder, write_json
from train.trained import load_optimiser, load_weights

_MICRO_BATCH = "micro_batch_clips"
_REMEDY = "Give the run another name, or use the settings it was started with."


@dataclass(frozen=True, kw_only=True, eq=False)
class RunState:
    """The predictor and its optimiser, which the loop changes in place, and what they are bound to."""

    recipe: TrainRecipe
    trained_on: TrainedOn
    folder: RunFolder
    predictor: Predictor
    optimiser: torch.optim.Optimizer

    def begin_or_resume(self, init: Path | None) -> int:
        """Updates that the run has done already.

        Raises CheckpointError, RunMismatchError where the folder holds another run, and what reading `init`
        raises; a run that is resumed does not read it.
        """
        if self.folder.checkpoint.is_file():
            return self._resume()
        if init is not None:
            load_weights(self.predictor, load_initial_weights(init, self.predictor.config))
        self._begin()
        return 0

    def save(self, step: int) -> None:
        """Write the checkpoint after `step` updates."""
        self._checkpoint(step).save(self.folder.checkpoint)

    def _begin(self) -> None:
        described = self._checkpoint(step=0)
        names = ("recipe", "predictor", "trained_on", "code_version", "library_versions")
        write_json(self.folder.recipe, {name: getattr(described, name) for name in names})
        described.save(self.folder.checkpoint)

    def _resume(self) -> int:
        checkpoint = Checkpoint.load(self.folder.checkpoint)
        ensure_same("recipe", _deciding(checkpoint.recipe), _deciding(self.recipe.to_json()), _REMEDY)
        ensure_same("data", checkpoint.trained_on, asdict(self.trained_on), _REMEDY)
        load_weights(self.predictor, checkpoint.model)
        load_optimiser(self.optimiser, checkpoint.optimiser)
        return checkpoint.step

    def _checkpoint(self, step: int) -> Checkpoint:
        return Checkpoint(
            step=step,
            model=self.predictor.state_dict(),
            optimiser=self.optimiser.state_dict(),
            recipe=self.recipe.to_json(),
            predictor=asdict(self.predictor.config),
            trained_on=asdict(self.trained_on),
            code_version=code_of_training(),
            library_versions=library_versions(),
        )


def with_micro_batch_of_run(recipe: TrainRecipe, folder: RunFolder) -> TrainRecipe:
    """The recipe with the micro-batch that the run of this folder was last trained with, if there is one.

    No other field of a recipe changes nothing but the order of sums. Raises CheckpointError, RecipeError.
    """
    if not folder.checkpoint.is_file():
        return recipe
    of_run = read_tensors(folder.checkpoint, mapped=True).get("recipe")
    # Whatever else is wrong with it is told when the checkpoint is loaded whole.
    if not isinstance(of_run, Mapping) or of_run.get("batch_clips") != recipe.batch_clips:
        return recipe
    return TrainRecipe.from_json({**recipe.to_json(), _MICRO_BATCH: of_run.get(_MICRO_BATCH)})


def _deciding(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that decide a run's losses: it may go on with another micro-batch, on other hardware."""
    return {name: value for name, value in recipe.items() if name != _MICRO_BATCH}
