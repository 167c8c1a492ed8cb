"""What can be read of a store, and what is wrong with its structure: all but slots and values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from store_schema.attributes import StoreAttributes
from store_schema.errors import SchemaError, StoreNotFoundError
from store_schema.format import (
    LEDGER_FOLDER,
    LEDGER_TABLE,
    REJECTS_TABLE,
    ROOT_FILE,
    TRAJECTORIES_TABLE,
    ArraySpec,
)
from store_schema.layout import read_attributes
from store_schema.ledger import Ledger, read_row, row_files, sealed_table
from store_schema.ledger_row import LedgerRow
from store_schema.problem import Kind, Problem
from store_schema.rules import ledger as ledger_rules
from store_schema.rules.arrays import array_problems, specs_of_latents
from store_schema.rules.attributes import has_channel_statistics, holds_no_local_path
from store_schema.rules.plan import has_enough_rows, owners_of_slots, plan_problems
from store_schema.rules.seal import TABLES, is_as_sealed
from store_schema.tables import Reject, Trajectory, read_rejects, read_trajectories

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The parts of a store, each None where it cannot be read, and all that is wrong with them.

    root: bytes of the root file before anything else was read.
    trajectories: those that the root attributes count.
    """

    path: Path
    root: bytes | None
    attributes: StoreAttributes | None
    trajectories: tuple[Trajectory, ...] | None
    rejects: tuple[Reject, ...] | None
    ledger: Ledger | None
    problems: tuple[Problem, ...]

    def is_current(self) -> bool:
        """Whether the root attributes are still those that were read."""
        return _root_bytes(self.path) == self.root

    @property
    def specs(self) -> Mapping[str, ArraySpec] | None:
        """Its arrays by name; None where neither root attributes nor metadata of `latents` can be read."""
        return specs_of_latents(self.path) if self.attributes is None else self.attributes.fingerprint.specs


def examine(path: Path) -> Structure:
    """Read and check everything but slots. Raises StoreNotFoundError where no part of a store lies at `path`.

    A table that differs from what was sealed is not read: nothing in it can be trusted.
    """
    before = _root_bytes(path)
    structure = _Examination(path, before).run()
    if structure.problems and not structure.is_current():
        # A build has moved on between our reads.
        return examine(path)
    return structure


class _Examination:
    """Collects problems while it reads one part after the other."""

    def __init__(self, path: Path, root: bytes | None) -> None:
        self.path = path
        self.root = root
        self.problems: list[Problem] = []

    def run(self) -> Structure:
        attributes = self._attributes()
        if attributes is not None:
            self.problems += holds_no_local_path(attributes)
            self.problems += array_problems(self.path, attributes.fingerprint.specs, attributes.num_slots)
            self.problems += is_as_sealed(self.path, attributes, TABLES)
        planned = self.path / TRAJECTORIES_TABLE
        trajectories = self._table(TRAJECTORIES_TABLE, lambda: read_trajectories(planned))
        if attributes is not None and trajectories is not None:
            trajectories = self._counted(trajectories, attributes)
        # Rows before the table: where `merge` runs meanwhile, it writes the table before it removes them.
        own_rows = self._own_rows()
        sealed = self._table(LEDGER_TABLE, lambda: sealed_table(self.path))
        ledger = None if sealed is None else Ledger(sealed, own_rows)
        if attributes is not None and ledger is not None:
            self.problems += _ledger_problems(ledger, attributes, trajectories)
        return Structure(
            path=self.path,
            root=self.root,
            attributes=attributes,
            trajectories=trajectories,
            rejects=self._table(REJECTS_TABLE, lambda: read_rejects(self.path / REJECTS_TABLE)),
            ledger=ledger,
            problems=tuple(self.problems),
        )

    def _attributes(self) -> StoreAttributes | None:
        try:
            return StoreAttributes.parse(read_attributes(self.path))
        except StoreNotFoundError as error:
            if not _is_rest_of_a_store(self.path):
                raise
            self._note("missing_file", ROOT_FILE, f"{ROOT_FILE} is gone: {error}")
        except SchemaError as error:
            self._note("wrong_attribute", ROOT_FILE, str(error))
        except OSError as error:
            self._note("unreadable", ROOT_FILE, f"{ROOT_FILE} cannot be read: {error}.")
        return None

    def _table(self, name: str, read: Callable[[], Value]) -> Value | None:
        if any(problem.where == name for problem in self.problems):
            return None
        try:
            return read()
        except SchemaError as error:
            self._note("wrong_table", name, str(error))
            return None

    def _own_rows(self) -> dict[int, LedgerRow]:
        rows: dict[int, LedgerRow] = {}
        for path in row_files(self.path):
            try:
                row = read_row(path)
            except (SchemaError, OSError) as error:
                slot = int(path.stem) if path.stem.isdecimal() else None
                where = f"{LEDGER_FOLDER}/{path.name}" if slot is None else f"slot {slot}, ledger row"
                self.problems.append(Problem(kind="wrong_ledger", where=where, detail=str(error), slot=slot))
            else:
                rows |= {} if row is None else {row.slot: row}
        return rows

    def _note(self, kind: Kind, where: str, detail: str) -> None:
        self.problems.append(Problem(kind=kind, where=where, detail=detail))

    def _counted(
        self, trajectories: tuple[Trajectory, ...], attributes: StoreAttributes
    ) -> tuple[Trajectory, ...]:
        self.problems += has_enough_rows(len(trajectories), attributes.num_trajectories)
        counted = trajectories[: attributes.num_trajectories]
        self.problems += plan_problems(counted, attributes.num_slots)
        return counted


def _ledger_problems(
    ledger: Ledger, attributes: StoreAttributes, trajectories: tuple[Trajectory, ...] | None
) -> Iterator[Problem]:
    yield from ledger_rules.has_ordered_slots(ledger)
    yield from ledger_rules.has_the_fingerprint(ledger, attributes.fingerprint.sha256())
    if trajectories is not None:
        owners = owners_of_slots(trajectories)
        yield from ledger_rules.has_an_owner(ledger, owners)
        yield from ledger_rules.is_as_planned(ledger, owners)
    yield from ledger_rules.lists_its_files(ledger, attributes.fingerprint.specs)
    yield from ledger_rules.is_settled(ledger, attributes)
    yield from ledger_rules.has_no_row_of_its_own(ledger, attributes)
    yield from has_channel_statistics(attributes, ledger)


def _root_bytes(path: Path) -> bytes | None:
    try:
        return (path / ROOT_FILE).read_bytes()
    except OSError:
        return None


def _is_rest_of_a_store(path: Path) -> bool:
    return any((path / name).exists() for name in (LEDGER_TABLE, LEDGER_FOLDER))
