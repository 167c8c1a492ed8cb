"""Opening a store, in any state: what it is, and which trajectories are finished."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from store_schema.attributes import StoreAttributes
from store_schema.consistency import check_ledger, owners_of_slots
from store_schema.errors import SchemaError
from store_schema.format import (
    REJECTS_TABLE,
    SLOT_FRAMES,
    TRAJECTORIES_TABLE,
    ArraySpec,
    LatentShape,
    Quantisation,
    array_specs,
)
from store_schema.layout import check_layout, open_array, read_attributes
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
        specs = array_specs(fingerprint.encoder.latent_shape, fingerprint.quantisation)
        check_layout(path, specs, attributes.num_slots)
        trajectories = read_trajectories(path / TRAJECTORIES_TABLE)
        ledger = read_ledger(path)
        check_ledger(ledger, owners_of_slots(trajectories, attributes.num_slots), specs, fingerprint.sha256())
        return cls(
            path=path,
            attributes=attributes,
            planned_trajectories=trajectories,
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
        return array_specs(self.latent_shape, self.quantisation)

    @cached_property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The trajectories whose every slot is written."""
        return tuple(t for t in self.planned_trajectories if all(self._is_written(slot) for slot in t.slots))

    @cached_property
    def first_slots(self) -> frozenset[int]:
        """The slots in which a trajectory begins."""
        return frozenset(trajectory.first_slot for trajectory in self.planned_trajectories)

    def split(self, split: Split) -> tuple[Trajectory, ...]:
        """The finished trajectories of one side of the hold-out."""
        return tuple(t for t in self.trajectories if t.split == split)

    @cached_property
    def channel_statistics(self) -> ChannelStatistics | None:
        """What dequantises its codes; None for a float16 store. Raises SchemaError before `calibrate` ran."""
        if self.quantisation is Quantisation.FLOAT16:
            return None
        mean_D, std_D = (torch.from_numpy(self._whole(name)) for name in ("channel_mean", "channel_std"))
        statistics = ChannelStatistics(mean_D=mean_D, std_D=std_D)
        recorded = self.attributes.fingerprint.channel_statistics_sha256
        if statistics.sha256() != recorded:
            raise SchemaError(
                f"channel_mean and channel_std have SHA-256 {statistics.sha256()}, the fingerprint says "
                f"{recorded}. Run `permafrost featurize --step calibrate` if that was not done yet, "
                "else restore the files."
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

    def _whole(self, name: str) -> NDArray[np.float32]:
        return np.asarray(open_array(self.path, name)[:], dtype=np.float32)

    def _is_written(self, slot: int) -> bool:
        return slot in self.ledger and self.ledger[slot].status == "written"


def address_to_slot(frame: int) -> tuple[int, int]:
    """Slot of a frame address and the frame's place in it."""
    return divmod(frame, SLOT_FRAMES)
