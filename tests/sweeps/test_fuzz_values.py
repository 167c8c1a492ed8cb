"""A small sample of the fuzz over values; `python tests/sweeps/fuzz_values.py` runs hundreds of cases."""

import pytest

from .fuzz_values import KINDS, run_case

NUM_CASES = 60


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_odd_values_are_taken_or_refused_by_name(kind):
    numbers = range(kind, NUM_CASES, len(KINDS))
    outcomes = [run_case(number, seed=20) for number in numbers]
    assert [outcome for outcome in outcomes if outcome.verdict == "failed"] == []
