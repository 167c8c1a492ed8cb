"""One fault of each kind of the damage sweep, in every run of the tests."""

from .damage import FAULTS, sweep


def test_one_fault_of_each_kind_is_found_and_named(tmp_path):
    tally = sweep(tmp_path, range(len(FAULTS)), seed=20261121)
    assert tally.missed == []
    assert set(tally.faults) == set(FAULTS)
