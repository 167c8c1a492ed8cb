"""What can stop a flow or a command, beyond the errors of the rooms below."""


class PipelineError(Exception):
    """Base class."""


class SlotsFailedError(PipelineError):
    """Some slots could not be encoded, though nothing says that they never can be."""


class OptionError(PipelineError):
    """Options that do not go together, or a value that cannot be used."""
