import pytest

from pipeline.assessment_table import sections
from pipeline.commands.evaluating import _print_table

ONE = {"mean": 0.5, "low": 0.4, "high": 0.6}


def assessment_of(*labs: str):
    """What is shown of a run on a store with these laboratories, `ONE` everywhere."""
    group = {lab: {"num_trajectories": 3, "l1": ONE, "ratio_to_copy_last_frame": ONE} for lab in labs}
    return {
        "assessment": {
            "prediction": {
                "horizons": [1], "teacher_forced_l1": ONE, "l1": [ONE], "ratio_to": {"zero_action": [ONE]},
                "one_frame_ahead_by": {"lab": group},
            },
            "planning": {"1": {"action_score": 12.0, "xyz_centimetres": ONE}},
            "energy": {"rank": ONE},
            "retrieval": {"same_hit_at_1": None},
            "probe": {"horizons": [1], "predicted_centimetres": [ONE]},
            "trust": {
                "num_starts": 1, "num_trajectories": 1, "num_labs": len(labs), "num_planned_starts": 1,
                "share_within_bounds": 1.0, "held_out": "", "store_revision": 1, "clock": "", "crop": "",
            },
        }
    }  # fmt: skip


def test_runs_on_other_laboratories_keep_their_numbers_under_their_names(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _print_table({"runA": assessment_of("AUTOLab", "ILIAD"), "runB": assessment_of("CLVR")})
    lines = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
        for line in capsys.readouterr().out.splitlines()
        if line.count("│") == 4
    }
    assert lines["AUTOLab"] == ["0.5 [0.4, 0.6] of 3 trajectories", ""]
    assert lines["CLVR"] == ["", "0.5 [0.4, 0.6] of 3 trajectories"]


def test_what_nobody_could_score_is_told_as_none():
    rows = dict(sections(assessment_of("AUTOLab")["assessment"])["retrieval, one step"])
    assert list(rows.values()) == ["none"]


@pytest.mark.parametrize("options", [("--starts", 0), ("--rounds", 0), ("--samples", 9)])
def test_refuses_to_measure_nothing(permafrost, own_run, options):
    code, _, err = permafrost("evaluate", own_run.run, "--store", own_run.store, *options)
    assert (code, "Invalid value" in err) == (2, True)
