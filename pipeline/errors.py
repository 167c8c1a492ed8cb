"""What can stop a flow or a command, beyond the errors of the rooms below."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from train.trainer import TrainResult

OUR_PACKAGES: Final = frozenset({"store_schema", "featurize", "train", "pipeline"})
"""Errors defined in these say what to do; their message alone is shown."""


class PipelineError(Exception):
    """Base class."""


class SlotsFailedError(PipelineError):
    """Some slots could not be encoded, though nothing says that they never can be."""


class ServerNotReachableError(PipelineError):
    """The Prefect server that is configured does not answer."""


class ServerLostError(PipelineError):
    """The Prefect server stopped answering while a flow was running."""


class OptionError(PipelineError):
    """Options that do not go together, or a value that cannot be used."""


class NothingStoredError(PipelineError):
    """Frames were to be drawn from a store, or a trajectory, that has no finished slot."""


class RunStoppedError(PipelineError):
    """A signal stopped a run, which is saved; what a flow run that is cancelled for it is left with."""

    def __init__(self, result: "TrainResult") -> None:
        super().__init__(result.outcome)
        self.result = result
