"""Damage sweep: one fault in a finished store; `verify --level hashes` must find it and say where.

python tests/sweeps/damage.py --count 400 --seed 0
python tests/sweeps/damage.py --seed 0 --only 137        one fault of the same sweep again
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from store_schema.array_readers import INDEX_BYTES
from store_schema.format import LEDGER_TABLE, REJECTS_TABLE, ROOT_FILE, TRAJECTORIES_TABLE
from store_schema.layout import slot_path
from store_schema.ledger import record
from store_schema.store import Store
from store_schema.verify import verify_hashes
from tests.conftest import write_store

OF_A_STORE: Final = (
    ROOT_FILE, TRAJECTORIES_TABLE, REJECTS_TABLE, LEDGER_TABLE, "channel_mean/c/0", "channel_std/c/0",
    "latents/zarr.json", "token_scale/zarr.json", "states/zarr.json", "actions/zarr.json",
    "thumbnails/zarr.json",
)  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """A store to be damaged, another build of the same plan, and where the chance comes from."""

    path: Path
    other: Path
    rng: random.Random

    @property
    def store(self) -> Store:
        """As it was sealed; opened anew, since faults may leave nothing that opens."""
        return Store.open(self.other.with_name("whole.zarr"))

    def slot(self) -> int:
        """Any slot."""
        return self.rng.choice(sorted(self.store.ledger))

    def file(self, array: str, slot: int) -> Path:
        """A slot's file in one array."""
        return self.path / slot_path(self.store.specs[array], slot)

    def arrays(self) -> list[str]:
        """Names of the per-frame arrays."""
        return [name for name, spec in self.store.specs.items() if spec.per_frame]

    def any_file(self) -> tuple[Path, str]:
        """A file of the store, and what a report must name."""
        if self.rng.random() < 0.5:
            name = self.rng.choice(OF_A_STORE)
            return self.path / name, _named(name)
        slot = self.slot()
        return self.file(self.rng.choice(self.arrays()), slot), f"slot {slot}"


Fault = Callable[[Patient], str]
"""Damages the patient and returns what at least one problem's `where` must contain."""


@dataclass(kw_only=True)
class Tally:
    """Faults by kind; missed: those not found, or found without being named."""

    faults: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)


def flip_byte(path: Path, rng: random.Random, start: int = 0, stop: int | None = None) -> None:
    """Change one byte of [start, stop), counted from the end where negative."""
    data = bytearray(path.read_bytes())
    place = rng.choice(range(len(data))[start:stop])
    data[place] ^= rng.randrange(1, 256)
    path.write_bytes(data)


def flipped_byte_of(array: str) -> Fault:
    """A byte anywhere in a slot's file."""

    def fault(patient: Patient) -> str:
        slot = patient.slot()
        flip_byte(patient.file(array, slot), patient.rng)
        return f"slot {slot}"

    return fault


def flipped_byte_of_a_shard_index(patient: Patient) -> str:
    """In what tells where frames lie."""
    slot = patient.slot()
    flip_byte(patient.file(patient.rng.choice(["latents", "thumbnails"]), slot), patient.rng, -INDEX_BYTES)
    return f"slot {slot}"


def flipped_byte_in(name: str) -> Fault:
    """A byte of a table, of metadata, or of the channel statistics."""

    def fault(patient: Patient) -> str:
        flip_byte(patient.path / name, patient.rng)
        return _named(name)

    return fault


def truncated_file(patient: Patient) -> str:
    """Anything shorter than it was, down to nothing."""
    path, named = patient.any_file()
    data = path.read_bytes()
    path.write_bytes(data[: patient.rng.randrange(len(data))])
    return named


def lengthened_file(patient: Patient) -> str:
    """Bytes that were never written."""
    path, named = patient.any_file()
    path.write_bytes(path.read_bytes() + patient.rng.randbytes(patient.rng.randint(1, 9)))
    return named


def deleted_file(patient: Patient) -> str:
    """A file that is gone."""
    path, named = patient.any_file()
    path.unlink()
    return named


def zeroed_range(patient: Patient) -> str:
    """What a lost disk block leaves; a range that is zero already would be no fault."""
    path, named = patient.any_file()
    data = path.read_bytes()
    while True:
        start, stop = sorted(patient.rng.choices(range(len(data) + 1), k=2))
        if any(data[start:stop]):
            path.write_bytes(data[:start] + bytes(stop - start) + data[stop:])
            return named


def swapped_slots(patient: Patient) -> str:
    """Two slots in each other's place, in one array or in all."""
    one, other = patient.rng.sample(sorted(patient.store.ledger), 2)
    arrays = patient.arrays() if patient.rng.random() < 0.5 else ["latents"]
    for array in arrays:
        first, second = patient.file(array, one), patient.file(array, other)
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)
    return f"slot {one}"


def missing_slot(patient: Patient) -> str:
    """All files of a slot gone: Zarr libraries then read fill values."""
    slot = patient.slot()
    for array in patient.arrays():
        patient.file(array, slot).unlink()
    return f"slot {slot}"


def stale_slot(patient: Patient) -> str:
    """Files of another build of the same plan."""
    slot = patient.slot()
    for array in patient.arrays() if patient.rng.random() < 0.5 else ["latents"]:
        relative = patient.file(array, slot).relative_to(patient.path)
        shutil.copyfile(patient.other / relative, patient.path / relative)
    return f"slot {slot}"


def stale_slot_with_its_row(patient: Patient) -> str:
    """The same with a ledger row that fits the files, and even the fingerprint."""
    slot = patient.slot()
    for array in patient.arrays():
        relative = patient.file(array, slot).relative_to(patient.path)
        shutil.copyfile(patient.other / relative, patient.path / relative)
    row = Store.open(patient.other).ledger[slot]
    fingerprint = patient.store.attributes.fingerprint.sha256()
    record(patient.path, replace(row, fingerprint_sha256=fingerprint))
    return f"slot {slot}"


def foreign_row(patient: Patient) -> str:
    """A ledger row of another build alone."""
    slot = patient.slot()
    record(patient.path, Store.open(patient.other).ledger[slot])
    return f"slot {slot}"


FAULTS: Final[dict[str, Fault]] = {
    **{
        f"flipped byte, {array}": flipped_byte_of(array)
        for array in (
            "latents", "token_scale", "states", "actions", "timestamps_seconds", "extrinsics", "source_index",
            "thumbnails",
        )
    },
    "flipped byte, shard index": flipped_byte_of_a_shard_index,
    **{f"flipped byte, {name}": flipped_byte_in(name) for name in OF_A_STORE},
    "truncated file": truncated_file,
    "lengthened file": lengthened_file,
    "deleted file": deleted_file,
    "zeroed range": zeroed_range,
    "swapped slots": swapped_slots,
    "missing slot": missing_slot,
    "stale slot": stale_slot,
    "stale slot with its row": stale_slot_with_its_row,
    "foreign ledger row": foreign_row,
}  # fmt: skip


def main() -> None:
    """Run the sweep and print one table; exit code 1 where a fault was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one fault")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        numbers = range(chosen.count) if chosen.only is None else [chosen.only]
        tally = sweep(Path(folder), numbers, seed=chosen.seed)
    for kind, count in tally.faults.items():
        print(f"{kind:<36} {count:>4}")
    print(f"{'faults in all':<36} {tally.faults.total():>4}")
    print(f"{'missed or not named':<36} {len(tally.missed):>4}", *tally.missed, sep="\n")
    sys.exit(1 if tally.missed else 0)


def sweep(folder: Path, numbers: "range | list[int]", *, seed: int) -> Tally:
    """The faults of these numbers, each in a copy of its own; fault k depends on seed and k alone."""
    whole, other = write_store(folder / "whole.zarr"), write_store(folder / "other.zarr", seed=1)
    assert list(verify_hashes(whole)) == []
    tally, kinds = Tally(), list(FAULTS)
    for number in numbers:
        kind = kinds[number % len(kinds)]
        path = Path(shutil.copytree(whole, folder / "damaged.zarr"))
        expected = FAULTS[kind](Patient(path, other, random.Random(f"{seed}/{number}")))
        places = [problem.where for problem in verify_hashes(path)]
        tally.faults[kind] += 1
        if not any(expected in place for place in places):
            tally.missed.append(f"fault {number}, {kind}: expected '{expected}' in {places}")
        shutil.rmtree(path)
    return tally


def _named(name: str) -> str:
    """How a report names a file that belongs to no slot: by its array, or by itself."""
    folder = Path(name).parts[0]
    return folder if folder != name else name


if __name__ == "__main__":
    main()
