"""The store that `plan` made, checked by every step that works on it."""

from typing import Any

import featurize
import store_schema
from featurize.clock import FRAME_RATE_HZ
from featurize.crop import RESIZE_RULE
from featurize.encoder.registry import FrozenEncoder
from featurize.errors import StepOrderError
from featurize.recipe import Build, FeaturizeRecipe, planned_recipe
from featurize.sources.protocol import Source
from store_schema.attributes import EncoderIdentity, Fingerprint, Preprocessing, SourceRecord
from store_schema.format import Quantisation
from store_schema.provenance import code_version, library_versions
from store_schema.store import Store


def fingerprint_of(recipe: FeaturizeRecipe, encoder: FrozenEncoder) -> Fingerprint:
    """The fingerprint of what this recipe and encoder make, before the channel statistics are known."""
    spec = encoder.spec
    identity = EncoderIdentity(
        name=spec.name,
        weights_sha256=encoder.weights_sha256,
        image_size_px=spec.image_size_px,
        grid_height=spec.grid_height,
        grid_width=spec.grid_width,
        width=spec.width,
        compute_dtype=str(encoder.dtype).removeprefix("torch."),
    )
    return Fingerprint(
        encoder=identity,
        preprocessing=Preprocessing(
            crop=recipe.crop, resize=RESIZE_RULE, mean_rgb=spec.mean_rgb, std_rgb=spec.std_rgb
        ),
        clock=recipe.clock,
        frame_rate_hz=FRAME_RATE_HZ,
        quantisation=recipe.quantisation,
    )


def source_record(source: Source) -> SourceRecord:
    """Whom and what the root attributes credit."""
    return SourceRecord(name=source.name, attribution=source.attribution, licence=source.licence)


def versions() -> dict[str, Any]:
    """What the root attributes say of the code and the libraries that a revision is made with."""
    return {
        "library_versions": library_versions(),
        "code_version": code_version(store_schema, featurize),
    }


def open_planned(build: Build) -> Store:
    """The store of this build. Raises StepOrderError before `plan`, PlanMismatchError for another recipe."""
    planned = planned_recipe(build.store)
    if planned is None:
        raise StepOrderError(
            f"There is no store at {build.store} yet; run `permafrost featurize --step plan` first."
        )
    planned.require_same(build.recipe)
    return Store.open(build.store)


def open_calibrated(build: Build) -> Store:
    """The same, once it has the channel statistics that its latents need. Raises StepOrderError."""
    store = open_planned(build)
    fingerprint = store.attributes.fingerprint
    if fingerprint.quantisation is Quantisation.INT8 and fingerprint.channel_statistics_sha256 is None:
        raise StepOrderError(
            "The store has no channel statistics; run `permafrost featurize --step calibrate` first."
        )
    return store


def require_encoder(store: Store, build: Build, encoder: FrozenEncoder) -> None:
    """Raise FingerprintMismatchError unless the store was planned for this encoder and these weights."""
    made = fingerprint_of(build.recipe, encoder)
    store.attributes.fingerprint.require_same(made, ignore_statistics=True)
