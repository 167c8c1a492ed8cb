"""The SHA-256 that the root file carries over itself."""

import hashlib
from typing import Final

BLANK: Final = "-" * 64
"""Stands where the hash will be while it is taken."""


def root_sha256(data: bytes, recorded: str = BLANK) -> str:
    """SHA-256 of the root file's bytes with the `recorded` hash blanked."""
    return hashlib.sha256(data.replace(recorded.encode(), BLANK.encode())).hexdigest()
