"""What is said of an opened store wherever one is shown: on the command line and in reports."""

from collections.abc import Sequence
from typing import Any, Final, get_args

import pyarrow as pa
import pyarrow.compute as pc

from store_schema.array_readers import INDEX_BYTES
from store_schema.attributes import StoreAttributes
from store_schema.format import SLOT_FRAMES
from store_schema.ledger import Ledger
from store_schema.store import Store
from store_schema.tables import Split, Trajectory

SECONDS_PER_HOUR: Final = 3600.0


def store_facts(store: Store) -> dict[str, Any]:
    """Its sizes, how far it is, and what its latents are, by name, ready for JSON.

    bytes: in the files of finished slots. planned_bytes: those of all planned slots, where a thumbnail that
    is not written yet counts as the mean of the others, or before there are any as its pixels.
    """
    attributes = store.attributes
    stored_bytes = _stored_bytes(store.ledger)
    return {
        "episodes": num_episodes(store.trajectories),
        "planned_episodes": num_episodes(store.planned_trajectories),
        "trajectories": len(store.trajectories),
        "planned_trajectories": len(store.planned_trajectories),
        "frames": store.stored_frames,
        "planned_frames": store.planned_frames,
        "hours": _hours(store.stored_frames, attributes),
        "planned_hours": _hours(store.planned_frames, attributes),
        "slots_done": len(store.ledger),
        "bytes": stored_bytes,
        "planned_bytes": stored_bytes + _missing_bytes(store, stored_bytes),
        "bytes_per_frame": store.frame_bytes,
        "rejects": store.rejects_by_reason(),
        **state_facts(attributes),
    }


def state_facts(attributes: StoreAttributes) -> dict[str, Any]:
    """What the root attributes alone say of its state and of its latents."""
    fingerprint = attributes.fingerprint
    return {
        "slots": attributes.num_slots,
        "sealed": attributes.sealed,
        "revision": attributes.revision,
        "fingerprint": fingerprint.sha256(),
        "clock": fingerprint.clock,
        "encoder": fingerprint.encoder.name,
    }


def identity_facts(attributes: StoreAttributes) -> dict[str, Any]:
    """What made its latents from what: what `state_facts` leaves out."""
    fingerprint = attributes.fingerprint
    return {
        "uuid": attributes.uuid,
        "encoder_details": fingerprint.encoder.model_dump(mode="json", exclude={"name"}),
        "preprocessing": fingerprint.preprocessing.model_dump(mode="json"),
        "frame_rate_hz": fingerprint.frame_rate_hz,
        "quantisation": fingerprint.quantisation.value,
        "source": attributes.source.model_dump(mode="json"),
        "recipe": attributes.recipe,
        "library_versions": attributes.library_versions,
        "code_version": attributes.code_version,
    }


def split_facts(store: Store) -> dict[str, dict[str, Any]]:
    """Finished episodes, trajectories, frames and hours on each side of the hold-out."""
    return {split: _split_facts(store, store.split(split)) for split in get_args(Split)}


def frames_of_slots(trajectories: Sequence[Trajectory]) -> dict[int, int]:
    """How many frames the plan gives every slot."""
    return {slot: len(t.frames_of_slot(slot)) for t in trajectories for slot in t.slots}


def num_episodes(trajectories: Sequence[Trajectory]) -> int:
    """How many episodes these are views of."""
    return len({trajectory.episode_id for trajectory in trajectories})


def _split_facts(store: Store, trajectories: Sequence[Trajectory]) -> dict[str, Any]:
    num_frames = sum(trajectory.num_frames for trajectory in trajectories)
    return {
        "episodes": num_episodes(trajectories),
        "trajectories": len(trajectories),
        "frames": num_frames,
        "hours": _hours(num_frames, store.attributes),
    }


def _hours(num_frames: int, attributes: StoreAttributes) -> float:
    return num_frames / attributes.fingerprint.frame_rate_hz / SECONDS_PER_HOUR


def _stored_bytes(ledger: Ledger) -> int:
    """By columns: as rows, the files of 20,000 slots take seconds."""
    own_bytes = sum(file.size_bytes for row in ledger.own_rows.values() for file in row.files)
    is_own = pc.is_in(
        ledger.sealed.column("slot"), pa.array(ledger.own_rows, ledger.sealed.schema.field("slot").type)
    )
    files = ledger.sealed.filter(pc.invert(is_own)).column("files")
    sizes = pc.struct_field(pc.list_flatten(files), "size_bytes")
    return int(own_bytes + (pc.sum(sizes).as_py() or 0))


def _missing_bytes(store: Store, stored_bytes: int) -> int:
    frames_of_slot = frames_of_slots(store.planned_trajectories)
    missing = [frames_of_slot[slot] for slot in store.missing_slots() if slot in frames_of_slot]
    written = store.ledger.written_frames.values()
    thumbnails = stored_bytes - sum(_bytes_but_thumbnails(store, num_frames) for num_frames in written)
    per_frame = thumbnails / sum(written) if written else store.specs["thumbnails"].item_bytes
    return sum(
        _bytes_but_thumbnails(store, num_frames) + round(per_frame * num_frames) for num_frames in missing
    )


def _bytes_but_thumbnails(store: Store, num_frames: int) -> int:
    """Bytes of one slot in the files whose size follows from their number of frames."""
    specs = [spec for spec in store.specs.values() if spec.per_frame and spec.zstd_level is None]
    return sum(
        num_frames * spec.item_bytes + INDEX_BYTES if spec.sharded else SLOT_FRAMES * spec.item_bytes
        for spec in specs
    )
