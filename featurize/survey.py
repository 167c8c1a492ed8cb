"""A cheap look at a source: how many episodes there are, and what a sample of them would store.

Folders are counted; of the sampled episodes metadata, rows and packets are read. No video is decoded.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from featurize.errors import NotEnoughEpisodesError
from featurize.estimate import Figure, Workload, counted
from featurize.index_table import IndexedStream
from featurize.plan import draw_trajectories
from featurize.recipe import FeaturizeRecipe
from featurize.rejects import EpisodeRejected
from featurize.sources.protocol import EpisodeRef, Source
from store_schema.tables import Trajectory

SAMPLE_EPISODES: Final = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What was found. rejects: sampled episodes by the reason why `index` would reject them.

    streams, trajectories: of the sampled episodes that are usable; the trajectories are those that `plan`
    would draw for them.
    """

    num_episodes: int
    num_sampled: int
    rejects: dict[str, int]
    streams: list[IndexedStream]
    trajectories: list[Trajectory]

    @property
    def workload(self) -> Workload:
        """The sample's sums, scaled up to all episodes that were found."""
        return Workload(
            trajectories=self._scaled("trajectories", "trajectories", len(self.trajectories)),
            frames=self._scaled("frames", "frames to store", sum(t.num_frames for t in self.trajectories)),
            slots=self._scaled("slots", "slots", sum(t.num_slots for t in self.trajectories)),
            video_frames=self._scaled(
                "video_frames", "video frames to index", sum(s.num_rows for s in self.streams)
            ),
        )

    @property
    def figures(self) -> list[Figure]:
        """How many episodes there are, were looked at and were found unusable."""
        return [
            Figure(name="episodes", what="episodes found", value=self.num_episodes, unit="",
                   formula="folders under --source that look like an episode"),
            Figure(name="sampled_episodes", what="episodes looked at", value=self.num_sampled, unit="",
                   formula="metadata, rows and packets read; no video decoded"),
            Figure(name="rejected_episodes", what="of these unusable", unit="",
                   value=sum(self.rejects.values()), formula=f"by reason: {_listed(self.rejects)}"),
        ]  # fmt: skip

    def _scaled(self, name: str, what: str, in_sample: int) -> Figure:
        value = round(in_sample * self.num_episodes / self.num_sampled)
        formula = f"sum over {counted(self.num_sampled, 'episode')}"
        if self.num_sampled < self.num_episodes:
            formula = f"{in_sample:,} in the sample x {self.num_episodes:,} / {self.num_sampled:,} episodes"
        return Figure(name=name, what=what, value=value, unit="", formula=formula)


def survey(
    source: Source,
    recipe: FeaturizeRecipe,
    *,
    sample_episodes: int = SAMPLE_EPISODES,
    on_progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Look at up to `sample_episodes` episodes, drawn by the recipe's seed.

    Raises NotEnoughEpisodesError where no store could be built from what was seen, and what the source raises
    where it cannot be listed at all.
    """
    # One folder an episode, as `index` keeps it: copies are rejected there.
    refs = list({ref.episode_id: ref for ref in source.episodes()}.values())
    chosen = _sample(refs, sample_episodes, recipe.seed)
    streams, rejects = _look_at(source, chosen, recipe, on_progress)
    reasons = dict(sorted(rejects.items()))
    num_usable = len(chosen) - sum(rejects.values())
    if num_usable < 2:
        raise NotEnoughEpisodesError(
            f"Of {counted(len(refs), 'episode')} found {len(chosen)} were looked at and {num_usable} are "
            f"usable; a store needs at least 2. Rejected: {_listed(reasons)}. "
            "Is --source a folder of DROID raw episodes?"
        )
    return Survey(
        num_episodes=len(refs),
        num_sampled=len(chosen),
        rejects=reasons,
        streams=streams,
        trajectories=draw_trajectories(streams, recipe),
    )


def _listed(rejects: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in rejects.items()) or "none"


def _sample(refs: list[EpisodeRef], count: int, seed: int) -> list[EpisodeRef]:
    if len(refs) <= count:
        return refs
    chosen = np.random.default_rng(seed).choice(len(refs), size=count, replace=False)
    return [refs[number] for number in chosen]


def _look_at(
    source: Source,
    refs: list[EpisodeRef],
    recipe: FeaturizeRecipe,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[list[IndexedStream], Counter[str]]:
    streams: list[IndexedStream] = []
    rejects: Counter[str] = Counter()
    for done, ref in enumerate(refs, start=1):
        try:
            episode = source.load(ref, recipe.cameras, recipe.clock)
        except EpisodeRejected as rejected:
            rejects[rejected.reason] += 1
        else:
            streams += [IndexedStream.of(episode, stream) for stream in episode.streams.values()]
        if on_progress:
            on_progress(done, len(refs))
    return streams, rejects
