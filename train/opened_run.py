"""A finished or stopped run, opened to be measured or planned with on the data it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from store_schema.store import Store
from train.checkpoint import Checkpoint
from train.device import choose_device
from train.predictor import Predictor
from train.provenance import ensure_same, fingerprint_of_latents
from train.revisions import revision_to_train_on, revision_trained_on
from train.run_folder import RunFolder
from train.trained import trained_predictor
from train.view import View


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedRun:
    """The run's last checkpoint, its predictor on `device` in evaluation mode, and the view of its store."""

    folder: RunFolder
    checkpoint: Checkpoint
    predictor: Predictor
    view: View
    device: torch.device

    @classmethod
    def open(
        cls,
        run_path: Path,
        store_path: Path,
        *,
        store_revision: int | None = None,
        device: str | None = None,
    ) -> OpenedRun:
        """Open a run on its store.

        store_revision: None takes the one trained on, or of another store the last that is sealed. Raises
        RunNotFoundError, CheckpointError, StoreError, DeviceError, and RunMismatchError where the store was
        encoded otherwise than the one trained on.
        """
        folder = RunFolder(run_path)
        folder.ensure_trained()
        checkpoint, store = Checkpoint.load(folder.checkpoint), Store.open(store_path)
        if store_revision is None:
            store = revision_trained_on(store, checkpoint.trained_on)
        else:
            store = revision_to_train_on(store, store_revision)
        _ensure_same_latents(checkpoint, store)
        target = choose_device(device)
        predictor = trained_predictor(checkpoint).to(target).eval()
        view = View.of_store(store, target)
        return cls(folder=folder, checkpoint=checkpoint, predictor=predictor, view=view, device=target)


def _ensure_same_latents(checkpoint: Checkpoint, store: Store) -> None:
    fingerprint = store.attributes.fingerprint
    found = {
        "encoder": fingerprint.encoder.name,
        "encoder_weights_sha256": fingerprint.encoder.weights_sha256,
        "fingerprint_sha256": fingerprint_of_latents(fingerprint, checkpoint.trained_on.get("latents")),
    }
    of_run = {name: checkpoint.trained_on.get(name) for name in found}
    ensure_same(
        "store", of_run, found, "Point --store at a store built under the settings of the one trained on."
    )
