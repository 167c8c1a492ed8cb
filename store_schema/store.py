"""Opening a store, in any state: what it is, and which trajectories are finished."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from store_schema.attributes import StoreAttributes
from store_schema.errors import SchemaError
from store_schema.format import REJECTS_TABLE, SLOT_FRAMES, TRAJECTORIES_TABLE, ArraySpec, LatentShape, Quantisation
from store_schema.format import array_specs as specs_of
from store_schema.layout import check_layout, open_group, read_attributes
from store_schema.ledger import LedgerRow, read_ledger
from store_schema.quantisation import ChannelStatistics
from store_schema.tables import Reject, Split, Trajectory, read_rejects, read_trajectories


@dataclass(frozen=True)
class Store:
    """A read-only snapshot: slots that finish after `open` are seen by the next `open`."""

    path: Path
    attributes: StoreAttributes
    planned_trajectories: tuple[Trajectory, ...]
    rejects: tuple[Reject, ...]
    ledger: dict[int, LedgerRow]

    @classmethod
    def open(cls, path: Path | str) -> "Store":
        """Open and check the store at `path`. Raises StoreNotFoundError, SchemaError."""
        path = Path(path)
        attributes = StoreAttributes.parse(read_attributes(path))
        fingerprint = attributes.fingerprint
        specs = specs_of(fingerprint.encoder.latent_shape, fingerprint.quantisation)
        check_layout(path, specs, attributes.num_slots)
        ledger = read_ledger(path)
        _check_ledger(ledger, fingerprint.sha256())
        return cls(
            path=path,
            attributes=attributes,
            planned_trajectories=read_trajectories(path / TRAJECTORIES_TABLE),
            rejects=read_rejects(path / REJECTS_TABLE),
            ledger=ledger,
        )

    @property
    def quantisation(self) -> Quantisation:
        """How its latents are stored."""
        return self.attributes.fingerprint.quantisation

    @property
    def latent_shape(self) -> LatentShape:
        """Tokens and channels of one frame."""
        return self.attributes.fingerprint.encoder.latent_shape

    @cached_property
    def specs(self) -> dict[str, ArraySpec]:
        """Its arrays by name."""
        return specs_of(self.latent_shape, self.quantisation)

    @cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The trajectories whose every slot is written."""
        return tuple(t for t in self.planned_trajectories if all(self._is_written(slot) for slot in t.slots))

    def split(self, split: Split) -> tuple[Trajectory, ...]:
        """The finished trajectories of one side of the hold-out."""
        return tuple(t for t in self.trajectories if t.split == split)

    @cached_property
    def channel_statistics(self) -> ChannelStatistics | None:
        """What dequantises its codes; None for a float16 store. Raises SchemaError before `calibrate` ran."""
        if self.quantisation is Quantisation.FLOAT16:
            return None
        group = open_group(self.path)
        mean_D, std_D = (torch.from_numpy(np.asarray(group[name][:])) for name in ("channel_mean", "channel_std"))
        statistics = ChannelStatistics(mean_D=mean_D, std_D=std_D)
        recorded = self.attributes.fingerprint.channel_statistics_sha256
        if statistics.sha256() != recorded:
            raise SchemaError(
                f"channel_mean and channel_std have SHA-256 {statistics.sha256()}, the fingerprint says {recorded}. "
                "Run `permafrost featurize --step calibrate` if the build is unfinished, else restore the files."
            )
        return statistics

    @property
    def planned_frames(self) -> int:
        """Frames of all planned trajectories."""
        return sum(t.num_frames for t in self.planned_trajectories)

    @property
    def stored_frames(self) -> int:
        """Frames of all written slots."""
        return sum(row.num_frames for row in self.ledger.values())

    @property
    def frame_bytes(self) -> int:
        """Bytes that one stored frame takes in `latents` and `token_scale`."""
        return sum(spec.item_bytes for name, spec in self.specs.items() if name in ("latents", "token_scale"))

    def rejects_by_reason(self) -> dict[str, int]:
        """Rejected episodes counted by reason, those of a running build's `encode` included."""
        found = {(reject.episode_id, reject.reason) for reject in self.rejects}
        found |= {(row.episode_id, row.reason) for row in self.ledger.values() if row.status == "rejected"}
        return dict(sorted(Counter(reason for _, reason in found).items()))

    def missing_slots(self) -> list[int]:
        """Planned slots that are not settled yet."""
        return [slot for slot in range(self.attributes.num_slots) if slot not in self.ledger]

    def _is_written(self, slot: int) -> bool:
        return slot in self.ledger and self.ledger[slot].status == "written"


def address_to_slot(frame: int) -> tuple[int, int]:
    """Slot of a frame address and the frame's place in it."""
    return divmod(frame, SLOT_FRAMES)


def _check_ledger(ledger: dict[int, LedgerRow], fingerprint_sha256: str) -> None:
    stale = sorted(slot for slot, row in ledger.items() if row.fingerprint_sha256 != fingerprint_sha256)
    if stale:
        raise SchemaError(
            f"Slots {stale[:5]} were written under another fingerprint than the store's {fingerprint_sha256[:12]}; "
            "they belong to another build."
        )
