"""What stops a run that encodes on the fly."""

from featurize.rejects import EpisodeRejected
from pipeline.errors import PipelineError


class OnlineEpisodeError(PipelineError):
    """An episode of the plan cannot be read any more."""

    @classmethod
    def of(cls, rejected: EpisodeRejected) -> "OnlineEpisodeError":
        """With what was found, and what can be done."""
        return cls(
            f"{rejected} It was usable when the plan was made, and nothing is put in its place. Mend it, and "
            "the same command goes on; or begin another --run with another --store, whose plan leaves it out."
        )
