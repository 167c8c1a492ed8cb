"""Whom to credit for a source and under which licence it may be used: from its own files, else DROID's."""

from pathlib import Path
from typing import Final

from featurize.errors import FeaturizeError

ATTRIBUTION_FILE: Final = "ATTRIBUTION.txt"
LICENCE_FILE: Final = "LICENSE.txt"
MAX_BYTES: Final = 65536

DROID_ATTRIBUTION: Final = (
    "DROID: A Large-Scale In-The-Wild Robot Manipulation Dataset, Khazatsky et al., 2024, "
    "arXiv 2403.12945, droid-dataset.github.io, CC BY 4.0"
)
DROID_LICENCE: Final = (
    "Creative Commons Attribution 4.0 International (CC BY 4.0), "
    "https://creativecommons.org/licenses/by/4.0/legalcode. You may share and adapt the material for any "
    "purpose, even commercially, provided that you give appropriate credit, provide a link to the licence "
    "and indicate if changes were made. These are changed: latents computed from the videos by a frozen "
    "encoder, and states, actions and thumbnails taken at 4 Hz. No warranties are given."
)


class CreditError(FeaturizeError):
    """A source's own attribution or licence file cannot be carried into a store."""


def attribution_of(root: Path) -> str:
    """What `ATTRIBUTION.txt` of the source says; DROID's where it has none. Raises CreditError."""
    return _text(root / ATTRIBUTION_FILE) or DROID_ATTRIBUTION


def licence_of(root: Path) -> str:
    """What `LICENSE.txt` of the source says; DROID's where it has none. Raises CreditError."""
    return _text(root / LICENCE_FILE) or DROID_LICENCE


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise CreditError(f"{path.name} of the source is not UTF-8 text: {error}. Mend the file.") from error
    if not text or len(data) > MAX_BYTES:
        raise CreditError(
            f"{path.name} of the source has {len(data)} bytes of text; expected 1 to {MAX_BYTES}, "
            "since every store and checkpoint carries it. Shorten the file."
        )
    return text
