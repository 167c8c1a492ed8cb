import json
from typing import Any

import pytest

from pipeline.report.read_run import (
    BrokenMetricsError,
    NothingMeasuredError,
    Update,
    Validation,
    read_lines,
    read_run,
)
from train.provenance import RunMismatchError
from train.run_folder import RunFolder, RunNotFoundError


def update_line(**changed: Any) -> str:
    measured = {"teacher_forcing_loss": 0.1, "rollout_loss": 0.2, "learning_rate": 1e-3}
    return json.dumps({"kind": "train", "step": 5, **measured, **changed})


def add_line(folder: RunFolder, line: str) -> None:
    with folder.metrics.open("a", encoding="utf-8") as file:
        file.write(line)


def test_reads_every_update_in_order(trained):
    run = read_run(trained.run, trained.store, device="cpu")
    logged = [json.loads(line) for line in RunFolder(trained.run).metrics.read_text().splitlines()]
    updates = [line for line in logged if line["kind"] == "train"]
    assert run.curves.step_S.tolist() == [1, 2, 3, 4]
    for name in ("teacher_forcing_loss", "rollout_loss"):
        assert run.curves.losses[name].tolist() == [update[name] for update in updates]
    assert run.curves.learning_rate_S.tolist() == [update["learning_rate"] for update in updates]
    assert [validation.step for validation in run.validations] == [2, 4]


def test_a_run_without_a_checkpoint_is_refused(trained, tmp_path):
    with pytest.raises(RunNotFoundError, match=r"no checkpoint in .*; `permafrost train` writes one"):
        read_run(tmp_path, trained.store, device="cpu")


def test_another_store_than_the_one_trained_on_is_refused(trained, tiny_store):
    expected = r"store differs.*store_uuid: run has .*Point --store at the store that the run was trained on"
    with pytest.raises(RunMismatchError, match=expected):
        read_run(trained.run, tiny_store, device="cpu")


def test_a_store_with_the_same_settings_and_other_episodes_is_refused(trained, make_store, tmp_path):
    # Held out here may have been trained on there.
    other = make_store(tmp_path / "other.zarr", trajectories=[(12, "train"), (14, "validation")])
    with pytest.raises(RunMismatchError, match="store_uuid"):
        read_run(trained.run, other, device="cpu")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"kind": "train", "step": 5', "the whole line: Invalid JSON"),
        ("\x00\x00", "the whole line: Invalid JSON"),
        ("", "the whole line: Invalid JSON"),
        ("[1, 2]", "object"),
        ('{"kind": "guess", "step": 5}', "guess"),
        (update_line(rollout_loss=None), "rollout_loss: Input should be a valid number"),
        (update_line(step="five"), "step: .*integer"),
        (update_line(step=0), "step: .*greater than or equal to 1"),
        (update_line(teacher_forcing_loss=float("nan")), "teacher_forcing_loss: .*finite"),
    ],
)
def test_a_broken_line_is_named_by_its_number(own_run, line, problem):
    folder = RunFolder(own_run.run)
    number = len(folder.metrics.read_text().splitlines()) + 1
    add_line(folder, f"{line}\n")
    expected = rf"Line {number} of metrics.jsonl is not a measurement: .*{problem}.*Mend or remove that line"
    with pytest.raises(BrokenMetricsError, match=expected):
        read_run(own_run.run, own_run.store, device="cpu")


def test_a_line_cut_off_by_a_kill_is_no_measurement(own_run):
    folder = RunFolder(own_run.run)
    before = list(read_lines(folder.metrics))
    add_line(folder, '{"kind": "train", "st')
    assert list(read_lines(folder.metrics)) == before
    assert {type(line) for line in before} == {Update, Validation}


def test_updates_after_the_checkpoint_are_left_out(own_run):
    # They were logged by a killed run; the one that resumes it does them again.
    add_line(RunFolder(own_run.run), f"{update_line(step=5)}\n")
    assert read_run(own_run.run, own_run.store, device="cpu").curves.step_S.tolist() == [1, 2, 3, 4]


def test_a_run_without_an_update_is_refused(own_run):
    RunFolder(own_run.run).metrics.unlink()
    with pytest.raises(NothingMeasuredError, match="holds no update yet; `permafrost train` goes on with it"):
        read_run(own_run.run, own_run.store, device="cpu")


def test_a_stopped_run_is_measured_first(own_run):
    folder = RunFolder(own_run.run)
    measured = json.loads(folder.evaluation.read_bytes())
    folder.evaluation.unlink()
    assert read_run(own_run.run, own_run.store, device="cpu").evaluation == measured
    assert folder.evaluation.is_file()


def test_an_evaluation_of_another_store_is_not_taken_for_this_one(own_run):
    mine = read_run(own_run.run, own_run.store, device="cpu").evaluation
    written = json.loads(RunFolder(own_run.run).evaluation.read_bytes())
    written["measured_on"]["store_uuid"] = "00000000-0000-0000-0000-000000000000"
    RunFolder(own_run.run).evaluation.write_text(json.dumps(written))
    assert read_run(own_run.run, own_run.store, device="cpu").evaluation == mine
