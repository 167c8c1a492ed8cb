"""The uuid of a revision of a store: the same for everybody who plans the same under the same settings."""

import uuid
from collections.abc import Sequence
from typing import Final

from store_schema.attributes import Fingerprint, canonical_sha256
from store_schema.tables import Trajectory

UUID_NAMESPACE: Final = uuid.UUID("5d1f3b0a-9a55-5d5e-8a6f-2f9f3f1f7b6e")


def revision_uuid(fingerprint: Fingerprint, trajectories: Sequence[Trajectory]) -> str:
    """uuid5 of the fingerprint, as far as it is known when this is planned, and of every trajectory."""
    planned = canonical_sha256([repr(trajectory) for trajectory in trajectories])
    return str(uuid.uuid5(UUID_NAMESPACE, fingerprint.sha256() + planned))
