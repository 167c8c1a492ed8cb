"""Sealing a store: its ledger in one table, and the hash of every file that no ledger row covers."""

from collections.abc import Mapping
from pathlib import Path

from store_schema.attributes import StoreAttributes, TrainingStatistics
from store_schema.format import ArraySpec
from store_schema.layout import write_attributes
from store_schema.ledger import merge
from store_schema.remote_files import frame_files
from store_schema.rules.seal import file_sha256, sealed_files
from store_schema.rules.slots import stray_files


def seal(
    path: Path, attributes: StoreAttributes, specs: Mapping[str, ArraySpec], statistics: TrainingStatistics
) -> None:
    """Merge the ledger, hash tables and metadata, and say so in the root attributes, last.

    Files that a killed build left of slots that were rejected later go first. Killed at any point, it is
    simply called again; nobody may be writing slots meanwhile.
    """
    ledger = merge(path)
    for name in stray_files(frame_files(path, specs), specs, ledger.written_frames):
        (path / name).unlink()
    files = {name: file_sha256(path / name) for name in sealed_files(specs)}
    sealed = attributes.model_copy(update={"statistics": statistics, "files": files, "sealed": True})
    write_attributes(path, sealed.model_dump(mode="json"))
