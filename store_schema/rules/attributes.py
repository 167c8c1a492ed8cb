"""What the root attributes say. Names, types and revisions are checked by `StoreAttributes` itself."""

import re
from collections.abc import Iterator
from typing import Any

from store_schema.attributes import StoreAttributes
from store_schema.format import ROOT_FILE, Quantisation
from store_schema.ledger import Ledger
from store_schema.problem import Problem

_LOCAL_PATH = re.compile(r"^(/|~|\.{1,2}/|[A-Za-z]:[\\/]|file:)")

# Texts of the source's own, which may begin with anything, a comment's slash say.
_WORD_FOR_WORD = ("source.attribution", "source.licence")


def holds_no_local_path(attributes: StoreAttributes) -> Iterator[Problem]:
    """F4. Attributes MUST hold no local path; the source's own attribution and licence are its business."""
    for name, text in _texts(attributes.model_dump(mode="json", exclude={"files"}), ""):
        if _LOCAL_PATH.match(text) and not name.endswith(_WORD_FOR_WORD):
            yield Problem(
                kind="wrong_attribute",
                where=f"{ROOT_FILE}, attribute {name}",
                detail=f"Attribute {name} is the local path '{text}'; a store goes to other machines.",
            )


def has_channel_statistics(attributes: StoreAttributes, ledger: Ledger) -> Iterator[Problem]:
    """F5. The fingerprint MUST hold the SHA-256 of the channel statistics once a slot of int8 is written."""
    fingerprint = attributes.fingerprint
    is_int8 = fingerprint.quantisation is Quantisation.INT8
    if is_int8 and ledger.written_frames and fingerprint.channel_statistics_sha256 is None:
        yield Problem(
            kind="wrong_attribute",
            where=ROOT_FILE,
            detail="Slots are written, but the fingerprint has no hash of the channel statistics. "
            "Restore the file from a copy.",
        )


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with its place."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _texts(item, f"{name}.{place}")
