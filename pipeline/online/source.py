"""From a folder of episodes to what a run sees: the plan of a store, and its clips encoded on the fly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from featurize.encoders import encoder_as_planned, encoder_of
from featurize.frames import TrajectoryLoader
from featurize.holding import holding_store
from featurize.index import Progress, index, indexed
from featurize.plan import plan
from featurize.planned import require_encoder
from featurize.recipe import Build, planned_recipe, resolve_recipe
from featurize.rejects import EpisodeRejected
from featurize.row_statistics import row_statistics
from pipeline.online.clips import OnlineClips
from pipeline.online.errors import OnlineEpisodeError
from store_schema.attributes import DimensionStatistics
from store_schema.store import Store
from store_schema.tables import Trajectory
from train.view import View

Statistics = tuple[DimensionStatistics | None, DimensionStatistics | None]
"""Of states and of actions."""


@dataclass(frozen=True, kw_only=True)
class OnlineSource:
    """Episodes, and the recipe by which they are seen.

    needs_statistics: whether states and actions are to be standardised, for which the rows of every training
    episode are read where the store does not say how.
    """

    build: Build
    needs_statistics: bool

    @classmethod
    def of(
        cls,
        source: Path,
        store: Path,
        *,
        encoder: str | None = None,
        weights: Path | None = None,
        device: torch.device,
        needs_statistics: bool,
    ) -> Self:
        """What `store` was planned with, or else the defaults of `featurize`.

        encoder: where the store is not planned yet, or to make sure of it. Raises BrokenRecipeError.
        """
        build = Build(
            recipe=resolve_recipe(store, {"encoder": encoder}),
            store=store.absolute(),
            source_root=source.absolute(),
            weights=weights and weights.absolute(),
            device=str(device),
        )
        return cls(build=build, needs_statistics=needs_statistics)

    def is_planned(self) -> bool:
        """Whether there is a store. Raises PlanMismatchError where it was planned with another encoder."""
        planned = planned_recipe(self.build.store)
        if planned is not None:
            planned.require_same(self.build.recipe)
        return planned is not None

    def plan(self, progress: Progress) -> None:
        """Index the source and make the store, without latents; `progress` is told of episodes.

        Raises what `index` and `plan` of `featurize` raise.
        """
        _plan(self.build, progress)

    def view(self, store: Store, device: torch.device) -> View:
        """All trajectories of the plan but the rejected ones; of a finished store those that are stored.

        Raises FingerprintMismatchError for other weights than the plan's, OnlineEpisodeError, StepOrderError
        where the source has not been indexed for this store, and SourceMovedError.
        """
        build = self.build.model_copy(update={"device": str(device)})
        trajectories = _usable(store)
        # Tells now what the first clip would stumble over, before weights are read.
        with TrajectoryLoader(build, trajectories):
            pass
        encoder = encoder_as_planned(build, store)
        require_encoder(store, build, encoder)
        states, actions = self._statistics(store, trajectories)
        return View(
            name=store.path.name,
            attributes=store.attributes,
            trajectories=trajectories,
            state_statistics=states,
            action_statistics=actions,
            clips=OnlineClips(build, trajectories, encoder),
            latents="online",
        )

    def _statistics(self, store: Store, trajectories: tuple[Trajectory, ...]) -> Statistics:
        if not self.needs_statistics:
            return None, None
        if store.attributes.statistics is not None:
            return store.attributes.statistics.states, store.attributes.statistics.actions
        try:
            computed = row_statistics(self.build, trajectories)
        except EpisodeRejected as rejected:
            raise OnlineEpisodeError.of(rejected) from rejected
        return computed.states, computed.actions


ViewOf = Callable[[Store, torch.device], View]


@holding_store
def _plan(build: Build, progress: Progress) -> None:
    if indexed(build) is None:
        index(build, progress)
    plan(build, encoder_of(build))


def _usable(store: Store) -> tuple[Trajectory, ...]:
    """Trajectories none of whose slots `encode` rejected."""
    rejected = {row.slot for row in store.ledger.rejected}
    return tuple(t for t in store.planned_trajectories if rejected.isdisjoint(t.slots))
