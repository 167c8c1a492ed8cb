"""What can stop a build. A single unusable episode does not: it goes into the rejects table."""


class FeaturizeError(Exception):
    """Base class of everything that stops a build."""


class StepOrderError(FeaturizeError):
    """A step was run before the one it needs."""


class TooManyRejectsError(FeaturizeError):
    """More episodes were rejected than `max_rejects` allows."""


class NotEnoughEpisodesError(FeaturizeError):
    """Too few usable episodes to hold any out."""


class PlanMismatchError(FeaturizeError):
    """The store was planned from other episodes or another recipe."""


class BrokenRecipeError(FeaturizeError):
    """A recipe in a store, or beside it, is not one."""


class SourceMovedError(FeaturizeError):
    """Nothing of what was indexed lies under the source root any more."""


class SourceUnreadableError(FeaturizeError):
    """The source's disk gives I/O errors."""


class ReaderUnavailableError(FeaturizeError):
    """The child processes that read source files cannot be had here."""


class UnknownSlotsError(FeaturizeError):
    """Slots were asked for that the plan does not have."""


class UnfinishedBuildError(FeaturizeError):
    """Slots are missing that finalise needs."""
