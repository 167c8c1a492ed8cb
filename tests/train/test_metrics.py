import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.metrics import open_log, read_metrics
from train.run_folder import RunFolder

ERRORS = {"horizons": [1, 2], "l1": [0.1, 0.2], "baselines": {"copy_last_frame": [0.3, 0.4]}, "num_starts": 5}


def write_steps(folder: RunFolder, resumed_step: int, steps: range) -> None:
    with open_log(folder, resumed_step) as log:
        for step in steps:
            log.train(step, {"loss": step / 7, "phase": "constant"})
            if step % 2 == 0:
                log.validation(step, ERRORS)
            log.sync()


def steps_of(folder: RunFolder, kind: str) -> list[int]:
    return [line["step"] for line in read_metrics(folder.metrics) if line["kind"] == kind]


def test_a_resumed_log_forgets_what_came_after_the_checkpoint(tmp_path):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, range(1, 7))
    # The checkpoint of step 4 was saved before its validation, which is done again.
    write_steps(folder, 4, range(5, 6))
    assert steps_of(folder, "train") == [1, 2, 3, 4, 5]
    assert steps_of(folder, "validation") == [2]


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, range(1, 4))
    with folder.metrics.open("a") as file:
        file.write('{"kind": "train", "st')
    assert [line["step"] for line in read_metrics(folder.metrics)] == [1, 2, 2, 3]
    write_steps(folder, 3, range(4, 4))
    assert folder.metrics.read_text().endswith("}\n")


def test_numbers_come_back_exactly(tmp_path):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, range(1, 4))
    write_steps(folder, 3, range(4, 4))
    assert [line["loss"] for line in read_metrics(folder.metrics) if line["kind"] == "train"] == [
        1 / 7,
        2 / 7,
        3 / 7,
    ]


def test_tensorboard_shows_the_same_names_and_only_the_steps_kept(tmp_path):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, range(1, 7))
    write_steps(folder, 2, range(3, 4))
    events = EventAccumulator(folder.tensorboard.as_posix())
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert events.Scalars("validation/l1/horizon_2")[0].value == pytest.approx(0.2)
    assert events.Scalars("validation/copy_last_frame/horizon_1")[0].value == pytest.approx(0.3)


def test_every_line_is_one_json_object(tmp_path):
    folder = RunFolder(tmp_path)
    write_steps(folder, 0, range(1, 3))
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert lines[0] == {"kind": "train", "step": 1, "loss": 1 / 7, "phase": "constant"}
    assert lines[2] == {"kind": "validation", "step": 2, **ERRORS}
