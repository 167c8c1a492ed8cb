"""What a run sees: trajectories, what their states and actions look like, and how their clips come."""

from dataclasses import dataclass
from typing import Literal

import torch

from store_schema.attributes import DimensionStatistics, StoreAttributes
from store_schema.store import Store
from store_schema.tables import Split, Trajectory
from train.clips import ClipSupply
from train.stream import StoreClips

Latents = Literal["stored", "online"]
"""Read from a store, as quantised there; or encoded on the fly, and never quantised."""


class NothingStoredError(ValueError):
    """A store is to be read that holds no finished trajectory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One revision of a store, or of a plan whose frames are encoded on the fly.

    trajectories: those that clips may be drawn from, of both splits. state_statistics, action_statistics:
    over the training split; None where nobody has computed them yet. clips: by addresses of the store, with
    such `latents`.
    """

    name: str
    attributes: StoreAttributes
    trajectories: tuple[Trajectory, ...]
    state_statistics: DimensionStatistics | None
    action_statistics: DimensionStatistics | None
    clips: ClipSupply
    latents: Latents = "stored"

    @classmethod
    def of_store(cls, store: Store, device: torch.device) -> "View":
        """The finished trajectories of a store, read from its slots. Raises NothingStoredError."""
        if not store.trajectories:
            raise NothingStoredError(
                f"Store {store.path.name} is planned, but none of its trajectories is encoded: there is "
                "neither a latent nor a picture to read. Finish it with `permafrost featurize`; only "
                "`permafrost train` can do without, by --online --source."
            )
        statistics = store.attributes.statistics
        return cls(
            name=store.path.name,
            attributes=store.attributes,
            trajectories=store.trajectories,
            state_statistics=None if statistics is None else statistics.states,
            action_statistics=None if statistics is None else statistics.actions,
            clips=StoreClips(store=store, device=device),
        )

    def split(self, split: Split) -> tuple[Trajectory, ...]:
        """The trajectories of one side of the hold-out."""
        return tuple(t for t in self.trajectories if t.split == split)
