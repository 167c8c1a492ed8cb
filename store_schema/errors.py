"""The errors that reading or writing a store can raise."""


class StoreError(Exception):
    """Base class of everything that is wrong with a store."""


class StoreNotFoundError(StoreError):
    """There is no store at the path given."""


class SchemaError(StoreError):
    """The store departs from format 1."""


class FingerprintMismatchError(StoreError):
    """What is about to be written or used was made under other settings than the store."""


class MissingFramesError(StoreError):
    """Frames were asked for that no finished slot holds."""


class DamagedStoreError(StoreError):
    """Bytes on disk differ from what the ledger recorded when they were written."""


class UnencodableLatentsError(StoreError):
    """Latents cannot be quantised: they hold NaN or infinite values."""


class RevisionError(StoreError):
    """A store was asked for in a state that it never was in."""


class StoreHeldError(StoreError):
    """Another process is building the store, or training the run."""


class LocksUnsupportedError(StoreError):
    """The file system cannot say whether another process is at work."""
