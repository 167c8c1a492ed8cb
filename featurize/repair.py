"""Mend a store: encode again the slots whose bytes are not what the ledger says, and only these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from featurize.encoder.registry import FrozenEncoder
from featurize.errors import FeaturizeError
from featurize.holding import holding_store
from featurize.planned import open_calibrated, require_encoder, versions
from featurize.recipe import Build
from featurize.rejects import EpisodeRejected
from featurize.slot_job import SlotJob
from featurize.threads import repeatable_threads
from store_schema.attributes import StoreAttributes
from store_schema.layout import FrameArrays, read_attributes, write_arrays, write_attributes
from store_schema.ledger import forget, record
from store_schema.problem import Problem
from store_schema.sealing import seal
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.verify import verify_hashes

Progress = Callable[[int, int], None]
"""Called with the slots that are mended and those to mend."""


class NotRepairableError(FeaturizeError):
    """Damage that encoding slots again cannot mend."""


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """mended: slots whose bytes are again those of the ledger.

    changed: slots that this machine, its libraries or its source give other bytes; their ledger rows are new,
        and so is the digest of the store.
    """

    mended: tuple[int, ...]
    changed: tuple[int, ...]


@holding_store
def repair(
    build: Build, encoder: FrozenEncoder, on_progress: Progress = lambda _done, _total: None
) -> RepairReport:
    """Encode again what `verify --level hashes` finds bad; every other file stays as it is.

    Raises NotRepairableError, with nothing changed, where tables, root metadata or channel statistics are
    damaged, and, after all other slots are mended, where the source no longer serves an episode. Raises
    StoreHeldError, and what `open_calibrated` and `require_encoder` raise.
    """
    problems = list(verify_hashes(build.store))
    _require_repairable(problems)
    _mend_structure(build.store, problems)
    slots = sorted({problem.slot for problem in problems if problem.slot is not None})
    changed, lost = _encode_again(build, encoder, slots, on_progress) if slots else ([], [])
    if lost:
        raise NotRepairableError(
            f"{len(lost)} of {len(slots)} slots could not be encoded again, the others are mended. "
            f"{'; '.join(lost[:5])}. Bring the source back as it was indexed, then repair again."
        )
    _seal_again(build.store)
    return RepairReport(mended=tuple(slot for slot in slots if slot not in changed), changed=tuple(changed))


def _mend_structure(path: Path, problems: Sequence[Problem]) -> None:
    if any(problem.where.endswith("/zarr.json") for problem in problems):
        _write_array_metadata(path)
    for slot in {p.slot for p in problems if p.slot is not None and p.kind == "wrong_ledger"}:
        # A row of another build, or one that is damaged itself.
        forget(path, slot)


def _encode_again(
    build: Build, encoder: FrozenEncoder, slots: Sequence[int], on_progress: Progress
) -> tuple[list[int], list[str]]:
    """Slots that got other bytes than the ledger's, and what is said of those that got none."""
    store = open_calibrated(build)
    require_encoder(store, build, encoder)
    job = SlotJob(build, encoder, store, slots)
    changed, lost = [], []
    with repeatable_threads(encoder.device), job.loader:
        for done, slot in enumerate(slots, start=1):
            _, frames = job.quantise(job.encode(job.decode(slot)))
            if isinstance(frames, EpisodeRejected):
                lost.append(f"slot {slot}: {frames}")
            elif not _put_back(job, store, slot, frames):
                changed.append(slot)
            on_progress(done, len(slots))
    return changed, lost


def _seal_again(path: Path) -> None:
    """Where a repair has unsealed the store, this one or one that was killed; an append clears statistics."""
    store = Store.open(path)
    attributes = store.attributes
    if attributes.sealed or attributes.statistics is None or store.missing_slots():
        return
    seal(path, attributes.model_copy(update=versions()), store.specs, training_statistics(store))


def _put_back(job: SlotJob, store: Store, slot: int, frames: FrameArrays) -> bool:
    """Whether the slot is again what its ledger row says; otherwise it has a new row."""
    contents = job.writer.contents(slot, job.trajectory_of[slot].episode_id, frames)
    job.writer.place(contents)
    if store.ledger.get(slot) == contents.row:
        return True
    if store.attributes.sealed:
        # What was sealed is no more.
        unsealed = store.attributes.model_copy(update={"sealed": False, "files": None})
        write_attributes(store.path, unsealed.model_dump(mode="json"))
    record(store.path, contents.row)
    return slot not in store.ledger


def _write_array_metadata(path: Path) -> None:
    attributes = StoreAttributes.parse(read_attributes(path))
    write_arrays(path, attributes.fingerprint.specs, attributes.num_slots)


def _require_repairable(problems: Sequence[Problem]) -> None:
    """Metadata of arrays follow from the root attributes; tables and what they are sealed by do not."""
    lasting = [p for p in problems if not p.is_mendable and p.kind != "not_hashed"]
    if lasting:
        first = f"{lasting[0].where}: {lasting[0].detail}"
        raise NotRepairableError(
            f"{len(lasting)} problems cannot be mended by encoding slots again, the first: {first} "
            "`permafrost verify` lists them all. Where nothing else is said, restore the files from a copy, "
            "or build the store anew."
        )
