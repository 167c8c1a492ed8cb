import pytest
from matplotlib.figure import Figure

from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.theme import LIGHT

EVALUATION = {
    "horizons": [1, 2, 4, 8],
    "l1": [0.1, 0.2, 0.3, 0.4],
    "baselines": {
        "zero_action": [0.11, 0.21, 0.31, 0.41],
        "shuffled_action": [0.2, 0.4, 0.6, 0.8],
        "copy_last_frame": [0.05, 0.1, 0.6, 0.8],
    },
    "measured_on": {"frame_rate_hz": 4.0},
}


def test_the_predictor_comes_first_and_its_errors_are_divided_by_each_baseline():
    rows = HorizonTable.of(EVALUATION).rows
    assert [row.name for row in rows] == ["predictor", "copy_last_frame", "zero_action", "shuffled_action"]
    assert rows[0].ratios == ()
    assert rows[1].ratios == pytest.approx((2.0, 2.0, 0.5, 0.5))
    assert rows[3].ratios == pytest.approx((0.5, 0.5, 0.5, 0.5))


def test_draws_a_named_line_for_every_row_over_frames_and_seconds():
    figure = Figure(layout="constrained")
    table = HorizonTable.of(EVALUATION)
    draw_horizons(figure, table, LIGHT)
    (axes,) = figure.axes
    drawn = {line.get_label(): tuple(line.get_ydata()) for line in axes.get_lines()}
    assert drawn == {row.name: row.errors for row in table.rows}
    assert all(tuple(line.get_xdata()) == (1, 2, 4, 8) for line in axes.get_lines())
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["1\n0.25 s", "2\n0.5 s", "4\n1 s", "8\n2 s"]
