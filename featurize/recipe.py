"""What a build is to do: the recipe that is written into the store, and where its files lie."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from featurize.clock import Clock
from featurize.crop import CropPolicy
from featurize.encoder.registry import DEFAULT_ENCODER, Attention
from featurize.errors import BrokenRecipeError, PlanMismatchError
from store_schema.atomic import write_atomically
from store_schema.attributes import StoreAttributes
from store_schema.errors import StoreNotFoundError
from store_schema.format import BUILD_FOLDER, Quantisation
from store_schema.layout import read_attributes

Camera = Literal["left", "right", "wrist"]

_RECIPE_FILE = "recipe.json"


class FeaturizeRecipe(BaseModel):
    """The resolved options of a build; stored as they are, so no local path belongs here.

    checkpoint_key: which network of an official file; None takes the published choice for the encoder.
    num_views: trajectories per episode and camera, each with a phase and a crop of its own.
    validation_share: share of episodes held out, chosen by a hash of the episode id.
    encode_batch_frames: frames a forward pass; a slot is always cut the same way, so that its bytes repeat.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["droid_raw"] = "droid_raw"
    cameras: Annotated[tuple[Camera, ...], Field(min_length=1)] = ("left",)
    clock: Clock = Clock.PHYSICAL
    crop: CropPolicy = CropPolicy.RANDOM
    num_views: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    encoder: str = DEFAULT_ENCODER
    checkpoint_key: Literal["target_encoder", "encoder"] | None = None
    quantisation: Quantisation = Quantisation.INT8
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    encode_batch_frames: Annotated[int, Field(ge=1)] = 32

    def require_same(self, other: "FeaturizeRecipe") -> None:
        """Raise PlanMismatchError naming every option in which `other` differs from this, the store's."""
        ours, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        differing = [f"{name}: store has {ours[name]}, asked for {theirs[name]}" for name in ours
                     if ours[name] != theirs[name]]  # fmt: skip
        if differing:
            raise PlanMismatchError(
                f"The store was planned with another recipe; nothing was changed. {'; '.join(differing)}. "
                "Leave these options out to continue the store, or use another --store."
            )


class Build(BaseModel):
    """A recipe and the places of this machine that it works on; sent whole to every worker.

    max_rejects: share of episodes that may be rejected before the build fails; no part of the recipe, so that
        a build that failed for it can be continued with a higher one.
    read_timeout_seconds: what reading the rows of an episode, or decoding frames of it, may take before it is
        rejected as stuck, plus a fifth of a second a frame.
    statistics_from: a store of the same settings whose channel statistics are taken over, for merging later.
    weights: checkpoint file of the encoder, where it is not to be found by name.
    device: torch's name; None takes the GPU if there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: FeaturizeRecipe
    store: Path
    source_root: Path
    episode_list: Path | None = None
    max_rejects: Annotated[float, Field(ge=0, le=1)] = 0.2
    read_timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    statistics_from: Path | None = None
    weights: Path | None = None
    attention: Attention = "sdpa"
    device: str | None = None

    @property
    def folder(self) -> Path:
        """Working files of the build, inside the store but not part of it."""
        return self.store / BUILD_FOLDER


def planned_recipe(store: Path) -> FeaturizeRecipe | None:
    """The recipe that the store was planned with; None where there is no store yet."""
    try:
        attributes = StoreAttributes.parse(read_attributes(store))
    except StoreNotFoundError:
        return None
    try:
        return FeaturizeRecipe.model_validate(attributes.recipe)
    except ValidationError as error:
        raise BrokenRecipeError(
            f"The recipe in {store} is not one that this version can follow: {_faults(error)}. "
            "Use the version that began the store, or another --store."
        ) from error


def indexed_recipe(store: Path) -> FeaturizeRecipe | None:
    """The recipe that the last `index` for `store` ran with; None where none has."""
    path = store / BUILD_FOLDER / _RECIPE_FILE
    if not path.is_file():
        return None
    try:
        return FeaturizeRecipe.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BrokenRecipeError(
            f"{path} is not a recipe: {_faults(error)}. Remove it; the source is then indexed again."
        ) from error


def _faults(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    )


def write_recipe(build: Build) -> None:
    """Remember the recipe, for `indexed_recipe`."""
    write_atomically(build.folder / _RECIPE_FILE, build.recipe.model_dump_json(indent=2).encode())


def resolve_recipe(store: Path, given: dict[str, object]) -> FeaturizeRecipe:
    """The recipe the store was begun with, or the defaults for a new one; what was given (not None) on top.

    Raises pydantic's ValidationError for a value that cannot be.
    """
    begun = planned_recipe(store) or indexed_recipe(store) or FeaturizeRecipe()
    chosen = {name: value for name, value in given.items() if value is not None}
    return FeaturizeRecipe.model_validate(begun.model_dump() | chosen)
