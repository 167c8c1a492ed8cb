"""Step `finalise`: statistics of the training split, then seal the ledger and the store."""

from dataclasses import dataclass

from featurize.errors import StepOrderError, UnfinishedBuildError
from featurize.growth import is_begun
from featurize.holding import holding_store
from featurize.index import check_rejects
from featurize.planned import open_planned
from featurize.recipe import Build
from store_schema.claims import remove_claims
from store_schema.format import REJECTS_TABLE
from store_schema.ledger_row import LedgerRow
from store_schema.sealing import seal
from store_schema.statistics import training_statistics
from store_schema.store import Store
from store_schema.tables import REJECT_SCHEMA, Reject, write_table


@dataclass(frozen=True, kw_only=True)
class FinaliseReport:
    """What the sealed store holds, at which revision."""

    num_episodes: int
    num_trajectories: int
    num_frames: int
    frame_bytes: int
    rejects: dict[str, int]
    revision: int


@holding_store
def finalise(build: Build) -> FinaliseReport:
    """Seal the store; a sealed one is left as it is.

    The statistics are those of the whole training split, what was sealed before included. Raises
    UnfinishedBuildError while slots are missing, StepOrderError where an append was begun and nothing is
    planned for it, TooManyRejectsError where `encode` rejected too many, and what `open_planned` raises.
    """
    store = open_planned(build)
    if not store.attributes.sealed:
        _require_finished(store)
        _seal(build, store)
        store = Store.open(build.store)
    remove_claims(build.store)
    return FinaliseReport(
        num_episodes=len({trajectory.episode_id for trajectory in store.trajectories}),
        num_trajectories=len(store.trajectories),
        num_frames=sum(trajectory.num_frames for trajectory in store.trajectories),
        frame_bytes=store.frame_bytes,
        rejects=store.rejects_by_reason(),
        revision=store.attributes.revision,
    )


def _seal(build: Build, store: Store) -> None:
    """Each write is atomic and the attribute `sealed` comes last, so a killed call is simply run again."""
    rejects = _all_rejects(store)
    write_table(build.store / REJECTS_TABLE, rejects, REJECT_SCHEMA)
    rejected_ids = {reject.episode_id for reject in rejects if reject.stage == "encode"}
    num_usable = len({trajectory.episode_id for trajectory in store.trajectories} - rejected_ids)
    summary = f"By reason: {store.rejects_by_reason()}; each is listed in {REJECTS_TABLE} of the store."
    check_rejects(num_usable, len(rejects), build.max_rejects, summary)
    seal(build.store, store.attributes, store.specs, training_statistics(store))


def _require_finished(store: Store) -> None:
    if is_begun(store.attributes):
        raise StepOrderError(
            "An append to the store was begun, and nothing is planned for it yet; run "
            "`permafrost featurize --step plan` first."
        )
    missing = store.missing_slots()
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise UnfinishedBuildError(
            f"{len(missing)} of {store.attributes.num_slots} slots are missing: {shown}. "
            "Run the same command again to encode only these."
        )


def _all_rejects(store: Store) -> list[Reject]:
    """Those of `index`, and one per episode that `encode` had to reject."""
    by_encode = {row.episode_id: _as_reject(row) for row in store.ledger.rejected}
    by_index = [reject for reject in store.rejects if reject.stage == "index"]
    return sorted([*by_index, *by_encode.values()], key=lambda reject: (reject.episode_id, reject.detail))


def _as_reject(row: LedgerRow) -> Reject:
    return Reject(episode_id=row.episode_id, stage="encode", reason=row.reason, detail=row.detail)
