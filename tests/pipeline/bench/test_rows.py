"""A number beside its limit."""

import pytest

from pipeline.bench.rows import ROW_FIELDS, Amount, Row

LIMIT = Row.measured("memcpy", 8.0, "bytes/s")


def test_a_ratio_is_the_value_over_the_limits():
    row = Row.measured("read", 2.0, "bytes/s", limit=LIMIT)
    assert (row.limit, row.ratio) == ("memcpy", 0.25)


def test_without_a_limit_there_is_no_ratio():
    assert (LIMIT.limit, LIMIT.ratio) == (None, None)


def test_against_a_limit_that_was_not_measured_there_is_no_ratio():
    unknown = Row.missing("disk", "bytes/s", "no way to ask")
    assert Row.measured("read", 2.0, "bytes/s", limit=unknown).ratio is None


def test_what_cannot_be_measured_says_why_and_has_neither_value_nor_ratio():
    row = Row.missing("decode", "frames/s", "needs --source")
    assert (row.value, row.ratio, row.note) == (None, None, "needs --source")


def test_a_limit_of_another_unit_is_a_slip():
    with pytest.raises(AssertionError):
        Row.measured("read", 2.0, "FLOP/s", limit=LIMIT)


def test_programs_read_five_fields():
    assert tuple(LIMIT.to_json()) == ROW_FIELDS == ("what", "value", "unit", "limit", "ratio")


def test_turns_are_added_up_before_they_are_divided():
    """3 in 1 s and 1 in 3 s are 1 a second, not the mean of 3 and a third."""
    assert (Amount(3.0, 1.0) + Amount(1.0, 3.0)).per_second == 1.0
