"""What is said of a store wherever one is shown: on the command line and in reports."""

from typing import Any

from store_schema.store import Store


def store_facts(store: Store) -> dict[str, Any]:
    """The facts by name, ready for JSON."""
    fingerprint = store.attributes.fingerprint
    return {
        "episodes": len({trajectory.episode_id for trajectory in store.trajectories}),
        "trajectories": len(store.trajectories),
        "frames": store.stored_frames,
        "planned_frames": store.planned_frames,
        "slots": store.attributes.num_slots,
        "slots_done": len(store.ledger),
        "bytes_per_frame": store.frame_bytes,
        "rejects": store.rejects_by_reason(),
        "sealed": store.attributes.sealed,
        "fingerprint": fingerprint.sha256(),
        "clock": fingerprint.clock,
        "encoder": fingerprint.encoder.name,
    }
