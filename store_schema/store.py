"""Opening a store, in any state: what it is, and which trajectories are finished."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from store_schema.attributes import StoreAttributes
from store_schema.errors import RevisionError, SchemaError
from store_schema.format import (
    SLOT_FRAMES,
    ArraySpec,
    LatentShape,
    Quantisation,
)
from store_schema.layout import open_array
from store_schema.ledger import Ledger
from store_schema.structure import Structure, examine
from store_schema.tables import Reject, Split, Trajectory

if TYPE_CHECKING:
    from store_schema.quantisation import ChannelStatistics


@dataclass(frozen=True)
class Store:
    """A read-only snapshot: slots that finish after `open` are seen by the next `open`."""

    path: Path
    attributes: StoreAttributes
    planned_trajectories: tuple[Trajectory, ...]
    rejects: tuple[Reject, ...]
    ledger: Ledger

    @classmethod
    def open(cls, path: Path | str, *, revision: int | None = None) -> "Store":
        """Open and check the store at `path`, as it is now or as a past revision left it.

        Raises StoreNotFoundError, SchemaError, RevisionError.
        """
        structure = examine(Path(path))
        for problem in structure.problems:
            raise SchemaError(problem.detail)
        store = cls.of(structure)
        return store if revision is None else store.at_revision(revision)

    @classmethod
    def of(cls, structure: Structure) -> "Store":
        """A store all of whose parts could be read."""
        attributes, trajectories = structure.attributes, structure.trajectories
        rejects, ledger = structure.rejects, structure.ledger
        assert attributes is not None
        assert trajectories is not None
        assert rejects is not None
        assert ledger is not None
        return cls(
            path=structure.path,
            attributes=attributes,
            planned_trajectories=trajectories,
            rejects=rejects,
            ledger=ledger,
        )

    def at_revision(self, number: int) -> "Store":
        """The store as it was when revision `number`, counted from 1, was sealed. Raises RevisionError.

        The present revision is given as it is, sealed or not; rejects are those of the present one.
        """
        if number == self.attributes.revision:
            return self
        if not 1 <= number < self.attributes.revision:
            raise RevisionError(
                f"Store {self.path.name} has revisions 1 to {self.attributes.revision}; got {number}."
            )
        attributes = self.attributes.before(number)
        return replace(
            self,
            attributes=attributes,
            planned_trajectories=self.planned_trajectories[: attributes.num_trajectories],
            ledger=self.ledger.first(attributes.num_slots),
        )

    def sealed_view(self) -> "Store":
        """This store if it is sealed or was never; while it grows, the last revision that was sealed."""
        if self.attributes.sealed or self.attributes.revision == 1:
            return self
        return self.at_revision(self.attributes.revision - 1)

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
        return self.attributes.fingerprint.specs

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
    def channel_statistics(self) -> "ChannelStatistics | None":
        """What dequantises its codes; None for a float16 store. Raises SchemaError before `calibrate` ran."""
        if self.quantisation is Quantisation.FLOAT16:
            return None
        # torch takes longer to import than a store to open, and few who open one need a tensor.
        import torch

        from store_schema.quantisation import ChannelStatistics

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
        return sum(self.ledger.written_frames.values())

    @property
    def frame_bytes(self) -> int:
        """Bytes that one stored frame takes in `latents` and `token_scale`."""
        return sum(spec.item_bytes for name, spec in self.specs.items() if name in ("latents", "token_scale"))

    def rejects_by_reason(self) -> dict[str, int]:
        """Rejected episodes counted by reason, those of a running build's `encode` included."""
        found = {(reject.episode_id, reject.reason) for reject in self.rejects}
        found |= {(row.episode_id, row.reason) for row in self.ledger.rejected}
        return dict(sorted(Counter(reason for _, reason in found).items()))

    def missing_slots(self) -> list[int]:
        """Planned slots that are not settled yet."""
        return [slot for slot in range(self.attributes.num_slots) if slot not in self.ledger]

    def _whole(self, name: str) -> NDArray[np.float32]:
        return np.asarray(open_array(self.path, name)[:], dtype=np.float32)

    def _is_written(self, slot: int) -> bool:
        return slot in self.ledger.written_frames


def address_to_slot(frame: int) -> tuple[int, int]:
    """Slot of a frame address and the frame's place in it."""
    return divmod(frame, SLOT_FRAMES)
