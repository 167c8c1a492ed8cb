"""What a run was trained on and by which code: written into every checkpoint and compared on resume."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import store_schema
import train
from store_schema.attributes import Fingerprint
from store_schema.provenance import code_version
from train.view import Latents, View
from train.windows import WindowSampler

_UNSAID: Final = {"latents": "stored"}
"""What a checkpoint of before there was such a field means."""


class RunMismatchError(Exception):
    """A run folder belongs to another recipe, or to other data."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The data of a run. windows_sha256 differs as soon as other trajectories can be drawn from.

    fingerprint_sha256: see `fingerprint_of_latents`.
    store_uuid, store_revision: the one revision of the store that was trained on, whatever was added since.
    attribution, licence: whom to credit and the source's licence, which a trained model has to carry.
    """

    latents: Latents
    store_uuid: str
    store_revision: int
    fingerprint_sha256: str
    encoder: str
    encoder_weights_sha256: str
    clock: str
    frame_rate_hz: float
    crop: str
    num_trajectories: int
    num_windows: int
    windows_sha256: str
    attribution: str
    licence: str

    @classmethod
    def of(cls, view: View, sampler: WindowSampler) -> "TrainedOn":
        """The identity of the view and of the part of it that is drawn from."""
        attributes, fingerprint = view.attributes, view.attributes.fingerprint
        return cls(
            latents=view.latents,
            store_uuid=attributes.uuid,
            store_revision=attributes.revision,
            fingerprint_sha256=fingerprint_of_latents(fingerprint, view.latents),
            encoder=fingerprint.encoder.name,
            encoder_weights_sha256=fingerprint.encoder.weights_sha256,
            clock=fingerprint.clock,
            frame_rate_hz=fingerprint.frame_rate_hz,
            crop=fingerprint.preprocessing.crop,
            num_trajectories=len(sampler.first_frame_W),
            num_windows=sampler.num_windows,
            windows_sha256=sampler.identity_sha256(),
            attribution=attributes.source.attribution,
            licence=attributes.source.licence,
        )


def fingerprint_of_latents(fingerprint: Fingerprint, latents: str | None) -> str:
    """Hash of a store's fingerprint as a run records it whose `TrainedOn.latents` these are.

    Those that are encoded on the fly are never quantised, so such a run is the same whether channel
    statistics have been measured for the store or not.
    """
    if latents == "online":
        fingerprint = fingerprint.model_copy(update={"channel_statistics_sha256": None})
    return fingerprint.sha256()


def ensure_same(what: str, of_run: Mapping[str, Any], asked: Mapping[str, Any], remedy: str) -> None:
    """Raise RunMismatchError naming every field of `what` in which the run differs from what is asked."""
    of_run = {name: said for name, said in _UNSAID.items() if name in asked} | dict(of_run)
    names = sorted(of_run.keys() | asked.keys())
    differing = [
        f"{name}: run has {of_run.get(name)}, asked for {asked.get(name)}"
        for name in names
        if of_run.get(name) != asked.get(name)
    ]
    if differing:
        raise RunMismatchError(
            f"The run's {what} differs; nothing was changed. {'; '.join(differing)}. {remedy}"
        )


def code_of_training() -> str:
    """The product's version, and a hash over the sources that decide a training step."""
    return code_version(store_schema, train)
