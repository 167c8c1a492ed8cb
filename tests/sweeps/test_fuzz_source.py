"""A small sample of the fuzz over the source; `python tests/sweeps/fuzz_source.py` runs thousands."""

import numpy as np
import pytest

from .fuzz_source import DAMAGES, Case, Sweep, remove_tree, run_batch, write_templates

NUM_CASES = 60
SWEEP = Sweep(seed=20, crowd=300)


@pytest.fixture
def folder(tmp_path):
    """Some cases lie deeper than pytest can remove."""
    yield tmp_path / "batch"
    remove_tree(tmp_path)


def test_damaged_episodes_are_stored_as_they_were_or_rejected_with_a_reason(folder):
    drawn = np.random.default_rng(SWEEP.seed).choice(len(DAMAGES), size=NUM_CASES - 3, replace=False)
    cases = [Case(number=number, sweep=SWEEP) for number in (0, 1, 2, *(3 + drawn).tolist())]
    outcomes = run_batch(cases, folder)
    assert [outcome for outcome in outcomes if outcome.verdict == "failed"] == []
    assert {outcome.verdict for outcome in outcomes} >= {"stored", "rejected"}
    assert len({outcome.reason for outcome in outcomes}) > 5


def test_a_case_is_the_same_whenever_it_is_drawn(tmp_path):
    write_templates(tmp_path)
    case, contents = Case(number=5, sweep=SWEEP), set()
    for _ in range(2):
        folder = case.write(tmp_path)
        case.do(tmp_path)
        contents.add(folder.rows.read_bytes())
        remove_tree(folder.path)
    undamaged = tmp_path / f"clean-{case.template}/trajectory.h5"
    assert len(contents) == 1
    assert undamaged.read_bytes() not in contents
