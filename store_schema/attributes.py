"""The root attributes of a store: who made it from what, and the fingerprint of what decides a latent."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from store_schema.errors import FingerprintMismatchError, SchemaError
from store_schema.format import LatentShape, Quantisation


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

    def sha256(self) -> str:
        """Hash of all fields."""
        return canonical_sha256(self.model_dump(mode="json"))

    def require_same(self, other: "Fingerprint", *, ignore_statistics: bool = False) -> None:
        """Raise FingerprintMismatchError naming every field in which `other` differs from this store."""
        ours, theirs = _flatten(self.model_dump(mode="json")), _flatten(other.model_dump(mode="json"))
        if ignore_statistics:
            theirs["channel_statistics_sha256"] = ours["channel_statistics_sha256"]
        differing = [name for name in ours if ours[name] != theirs[name]]
        if differing:
            each = "; ".join(
                f"{name}: store has {ours[name]}, asked for {theirs[name]}" for name in differing
            )
            raise FingerprintMismatchError(
                f"The store was built under other settings; nothing was changed. {each}. "
                "Use the settings of the store, or another --store."
            )


class SourceRecord(Frozen):
    """Where the episodes came from and under which licence; no local path."""

    name: str
    attribution: str


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


class StoreAttributes(Frozen):
    """Everything in the root attribute `permafrost`.

    recipe: the resolved configuration of the build, without local paths.
    """

    format_version: Literal[1]
    uuid: str
    num_slots: int = Field(ge=1)
    fingerprint: Fingerprint
    recipe: dict[str, Any]
    source: SourceRecord
    library_versions: dict[str, str]
    statistics: TrainingStatistics | None = None
    sealed: bool = False

    @model_validator(mode="after")
    def _sealed_has_statistics(self) -> "StoreAttributes":
        if self.sealed and self.statistics is None:
            raise ValueError("a sealed store has 'statistics'")
        return self

    @classmethod
    def parse(cls, attributes: dict[str, Any]) -> "StoreAttributes":
        """Validated attributes. Raises SchemaError that names every wrong field."""
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
