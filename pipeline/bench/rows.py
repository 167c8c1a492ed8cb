"""One line of a benchmark: a number, its unit, and the row that holds what the machine could do at most."""

from dataclasses import asdict, dataclass
from typing import Any, Final

ROW_FIELDS: Final = ("what", "value", "unit", "limit", "ratio")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured here, or, with `value` None, why it was not.

    value: in `unit`, which is a base unit such as bytes/s. limit: `what` of the row of the same unit that
    bounds this one; None where nothing does. ratio: value / that row's value; None where one of the two is
    missing. note: under which conditions it was measured, or why it was not.
    """

    what: str
    value: float | None
    unit: str
    limit: str | None = None
    ratio: float | None = None
    note: str = ""

    @classmethod
    def measured(
        cls, what: str, value: float, unit: str, *, limit: "Row | None" = None, note: str = ""
    ) -> "Row":
        """A number and what it comes to against its limit, which has the same unit."""
        if limit is None:
            return cls(what=what, value=value, unit=unit, note=note)
        assert limit.unit == unit, (limit.unit, unit)
        ratio = value / limit.value if limit.value else None
        return cls(what=what, value=value, unit=unit, limit=limit.what, ratio=ratio, note=note)

    @classmethod
    def missing(cls, what: str, unit: str, why: str) -> "Row":
        """What cannot be measured here."""
        return cls(what=what, value=None, unit=unit, note=why)

    def to_json(self) -> dict[str, Any]:
        """The five fields that programs read, in order."""
        fields = asdict(self)
        return {name: fields[name] for name in ROW_FIELDS}


@dataclass(frozen=True)
class Amount:
    """How much was done in how long; amounts that were measured in turns are added up."""

    done: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.done + other.done, self.seconds + other.seconds)

    @property
    def per_second(self) -> float:
        """The rate over all turns."""
        return self.done / self.seconds
