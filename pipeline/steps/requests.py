"""What the steps of a run are asked to do: what a flow is given, and what the options of a command become."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from pipeline.online.options import OnlineOptions
from train.memory_budget import GIB
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FitRequest(_Request):
    """A training run, begun or gone on with.

    micro_batch_clips, memory_budget (GiB) and the rest as `train.trainer.train` takes them.
    """

    recipe: TrainRecipe
    store: Path
    run: Path
    store_revision: int | None = None
    init: Path | None = None
    micro_batch_clips: int | None = None
    memory_budget: Annotated[float, Field(gt=0)] | None = None
    online: OnlineOptions = OnlineOptions()
    device: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From the options of `permafrost train` by name; None leaves a default of the preset.

        Raises RecipeError, UnknownPresetError, OptionError and pydantic's ValidationError.
        """
        chosen = {name: options[name] for name in _names(TrainRecipe) & options.keys()}
        recipe = recipe_for(chosen.pop("preset"), **chosen)
        online = OnlineOptions(**{name: options[name] for name in _names(OnlineOptions) & options.keys()})
        places = {name: options[name] for name in cls.model_fields.keys() & options.keys() - {"online"}}
        return cls(recipe=recipe, online=online, **places)

    @property
    def memory_budget_bytes(self) -> int | None:
        """Of one device."""
        return None if self.memory_budget is None else int(self.memory_budget * GIB)


class EvaluateRequest(_Request):
    """Runs to measure side by side.

    store: None takes the one that each was trained on. starts: held-out starts that actions are planned for.
    samples, rounds: of the planner's CEM.
    """

    runs: Annotated[tuple[Path, ...], Field(min_length=1)]
    store: Path | None = None
    store_revision: int | None = None
    starts: Annotated[int, Field(ge=1)] = 24
    samples: Annotated[int, Field(ge=10)] = 200
    rounds: Annotated[int, Field(ge=1)] = 5
    device: str | None = None


class ReportRequest(_Request):
    """A run to draw, and others to stand beside it; store: None takes those that they were trained on."""

    run: Path
    against: tuple[Path, ...] = ()
    store: Path | None = None
    device: str | None = None


def _names(of: type) -> set[str]:
    return {field.name for field in fields(of)}
