"""The root attributes of a store: who made it from what, and the fingerprint of what decides a latent."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from store_schema.errors import FingerprintMismatchError, SchemaError
from store_schema.format import ArraySpec, LatentShape, Quantisation, array_specs


class Frozen(BaseModel):
    """Immutable, and unknown or misspelt names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderIdentity(Frozen):
    """Which frozen network made the latents.

    weights_sha256: hash over the loaded tensors; compute_dtype: torch's name, `float32` or `bfloat16`.
    """

    name: str
    weights_sha256: str
    image_size_px: int
    grid_height: int
    grid_width: int
    width: int
    compute_dtype: str

    @property
    def latent_shape(self) -> LatentShape:
        """Tokens and channels of one frame."""
        return LatentShape(num_tokens=self.grid_height * self.grid_width, width=self.width)


class Preprocessing(Frozen):
    """From a video frame to the encoder's input.

    mean_rgb, std_rgb: in units of the 0..255 pixel range.
    """

    crop: str
    resize: str
    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]


class Fingerprint(Frozen):
    """All that decides the bytes of a latent. Seed, number of views, device and versions do not belong here.

    channel_statistics_sha256 is None until `calibrate` has fixed them, and always for float16 stores.
    """

    encoder: EncoderIdentity
    preprocessing: Preprocessing
    clock: str
    frame_rate_hz: float
    quantisation: Quantisation
    channel_statistics_sha256: str | None = None

    @property
    def specs(self) -> dict[str, ArraySpec]:
        """The arrays of its store by name."""
        return array_specs(self.encoder.latent_shape, self.quantisation)

    def sha256(self) -> str:
        """Hash of all fields."""
        return canonical_sha256(self.model_dump(mode="json"))

    def require_same(self, other: "Fingerprint", *, ignore_statistics: bool = False) -> None:
        """Raise FingerprintMismatchError naming every field in which `other` differs from this store."""
        differing = self.differences(other)
        if ignore_statistics:
            differing.pop("channel_statistics_sha256", None)
        if differing:
            each = "; ".join(
                f"{name}: store has {ours}, asked for {theirs}" for name, (ours, theirs) in differing.items()
            )
            raise FingerprintMismatchError(
                f"The store was built under other settings; nothing was changed. {each}. "
                "Use the settings of the store, or another --store."
            )

    def differences(self, other: "Fingerprint") -> dict[str, tuple[Any, Any]]:
        """Every field in which the two differ, by its dotted name: (here, there)."""
        ours, theirs = _flatten(self.model_dump(mode="json")), _flatten(other.model_dump(mode="json"))
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


class SourceRecord(Frozen):
    """Where the episodes came from, whom to credit, and the text of the licence; no local path."""

    name: str
    attribution: str
    licence: str = ""


class DimensionStatistics(Frozen):
    """Mean and standard deviation per dimension over the training split."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class TrainingStatistics(Frozen):
    """Computed by `finalise` over the frames of the training split.

    latent_change_l1: mean |z(t+1) - z(t)| over `latent_slots` slots, the error of copying the last frame.
    """

    num_frames: int
    states: DimensionStatistics
    actions: DimensionStatistics
    latent_slots: int
    latent_change_l1: float


class Revision(Frozen):
    """A sealed state that the store has grown out of: the first trajectories and slots of today."""

    uuid: str
    num_trajectories: int = Field(ge=1)
    num_slots: int = Field(ge=1)
    library_versions: dict[str, str]
    code_version: str
    statistics: TrainingStatistics


class Origin(Frozen):
    """A store that was merged into this one, as far as a merged store can differ from its parts."""

    uuid: str
    num_trajectories: int = Field(ge=1)
    recipe: dict[str, Any]
    source: SourceRecord
    library_versions: dict[str, str]
    code_version: str


class StoreAttributes(Frozen):
    """Everything in the root attribute `permafrost`.

    uuid: names this revision; two stores have the same one when settings and plan are the same. That of a
        first revision is given by `plan`, before channel statistics are measured.
    num_trajectories: rows of the trajectory table that count, those after them belong to an append that was
        never finished; None counts all (stores of before there were revisions).
    recipe: the resolved configuration of the build, without local paths.
    files: SHA-256 of every table and metadata file by relative name, this one excepted; of sealed stores.
    """

    format_version: Literal[1]
    uuid: str
    num_slots: int = Field(ge=1)
    num_trajectories: int | None = Field(default=None, ge=1)
    fingerprint: Fingerprint
    recipe: dict[str, Any]
    source: SourceRecord
    library_versions: dict[str, str]
    code_version: str = ""
    earlier_revisions: tuple[Revision, ...] = ()
    merged_from: tuple[Origin, ...] = ()
    statistics: TrainingStatistics | None = None
    files: dict[str, str] | None = None
    sealed: bool = False

    @model_validator(mode="after")
    def _sealed_has_statistics(self) -> "StoreAttributes":
        """F2. A sealed store MUST have `statistics`."""
        if self.sealed and self.statistics is None:
            raise ValueError("a sealed store has 'statistics'")
        return self

    @model_validator(mode="after")
    def _revisions_grow(self) -> "StoreAttributes":
        """F3. A later revision MUST NOT have fewer slots than an earlier one."""
        sizes = [revision.num_slots for revision in self.earlier_revisions] + [self.num_slots]
        if sizes != sorted(sizes):
            raise ValueError(f"a later revision has no fewer slots than an earlier one, got {sizes}")
        return self

    @property
    def revision(self) -> int:
        """Number of the revision, from 1."""
        return len(self.earlier_revisions) + 1

    def before(self, revision: int) -> "StoreAttributes":
        """What the earlier revision of this number, from 1, was sealed with; without `files`."""
        earlier = self.earlier_revisions[revision - 1]
        past = {name: getattr(earlier, name) for name in Revision.model_fields}
        kept = {"earlier_revisions": self.earlier_revisions[: revision - 1], "files": None, "sealed": True}
        return self.model_copy(update=past | kept)

    @classmethod
    def parse(cls, attributes: dict[str, Any]) -> "StoreAttributes":
        """F1. `permafrost` MUST have the fields of `StoreAttributes`, none unknown or misspelt at any depth.

        Raises SchemaError that names every wrong field.
        """
        try:
            return cls.model_validate(attributes)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in error.errors())
            raise SchemaError(f"Root attributes are not those of a format 1 store: {wrong}.") from error


def canonical_sha256(value: Any) -> str:
    """Hash of a JSON value that does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= _flatten(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat
