"""One small store in every state that a build leaves it in, by the real steps; tests change only copies."""

from pathlib import Path

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.encoders import encoder_of
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan
from store_schema.attributes import Revision, StoreAttributes
from store_schema.layout import read_attributes, write_attributes

from ..featurize.build.builds import build_at, copied

NUM_SLOTS = 7
SLOTS_DONE = (0, 3)
"""The second of them is the first half of a trajectory, which therefore is not there yet."""


def write_states(folder: Path, source: Path) -> dict[str, Path]:
    """The state's name in the accounts, and a store in that state."""
    build = build_at(folder / "indexed.zarr", source, max_rejects=1.0)
    index(build)
    states = {"indexed": build.store}
    encoder = encoder_of(build)
    steps = {
        "planned": lambda: plan(build, encoder),
        "calibrated": lambda: calibrate(build, encoder),
        "partly_encoded": lambda: encode(build, encoder, SLOTS_DONE),
        "encoded": lambda: encode(build, encoder),
        "sealed": lambda: finalise(build),
        "being_extended": lambda: reopen(build.store),
    }
    for name, step in steps.items():
        build = copied(build, folder / f"{name}.zarr")
        step()
        states[name] = build.store
    return states


def reopen(store: Path) -> None:
    """Say of a sealed store that it had five trajectories when it was sealed, and is growing since."""
    attributes = StoreAttributes.parse(read_attributes(store))
    assert attributes.statistics is not None
    earlier = Revision(
        uuid=attributes.uuid,
        num_trajectories=5,
        num_slots=6,
        library_versions=attributes.library_versions,
        code_version=attributes.code_version,
        statistics=attributes.statistics,
    )
    growing = {"earlier_revisions": (earlier,), "statistics": None, "files": None, "sealed": False}
    write_attributes(store, attributes.model_copy(update=growing).model_dump(mode="json"))
