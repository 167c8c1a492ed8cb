"""A few kills of the kill sweep, in every run of the tests."""

from .kill_rounds import sweep


def test_a_build_an_append_or_a_run_that_is_killed_ends_as_if_it_was_not(tmp_path):
    tally = sweep(tmp_path, num_library=2, num_prefect=0, seed=20261121)
    assert tally.found == []
    assert tally.kills.total() == 2
