import json
import shutil
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from pipeline.assessment_table import sections, shown, trust_sentence
from pipeline.report.comparison import Comparison, draw_ratios
from pipeline.report.horizons import HorizonTable, draw_horizons
from pipeline.report.read_run import RunRecord, read_run
from pipeline.report.theme import LIGHT
from pipeline.report.write import write_report
from train.measures.assess_run import assess_run
from train.planning.search import Cem

from .conftest import TrainedRun
from .test_page import Page

ODD_NAME = "<b>$x_1$ & other"


@pytest.fixture(scope="module")
def assessed(trained, tmp_path_factory) -> TrainedRun:
    """The same run, for which `permafrost evaluate` has been called."""
    run = shutil.copytree(trained.run, tmp_path_factory.mktemp("assessed") / ODD_NAME)
    assess_run(run, trained.store, search=Cem(samples=12, rounds=2), num_starts=2, device="cpu")
    return TrainedRun(run, trained.store)


@pytest.fixture(scope="module")
def runs(assessed, trained) -> tuple[RunRecord, RunRecord]:
    return tuple(read_run(run, trained.store, device="cpu") for run in (assessed.run, trained.run))


@pytest.fixture(scope="module")
def html(assessed, trained) -> str:
    files = write_report(assessed.run, trained.store, against=[(trained.run, trained.store)], device="cpu")
    return files.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(html) -> str:
    return " ".join(Page(html).text.split())


def test_the_table_has_a_cell_a_run_and_leaves_out_what_was_not_measured(runs):
    table = Comparison(runs=runs).table()
    assert table["what it is"]["updates"] == ["4", "4"]
    expected = sections(runs[0].evaluation["assessment"])
    assert list(table) == ["what it is", *expected]
    for section, rows in expected.items():
        assert table[section] == {name: [cell, ""] for name, cell in rows}


def test_measured_runs_on_one_store_are_set_against_the_first(runs):
    better = replace(
        runs[0],
        name="better",
        sums={name: replace(sums, value_C=0.5 * sums.value_C) for name, sums in runs[0].sums.items()},
    )
    comparison = Comparison(runs=(runs[0], better))
    assert list(comparison.columns) == [ODD_NAME, "better", f"better - {ODD_NAME}"]
    table = comparison.table()
    halved = -0.5 * runs[0].evaluation["assessment"]["prediction"]["teacher_forced_l1"]["mean"]
    assert table["prediction"]["L1 teacher-forced"][2].startswith(f"{halved:+.2g} [-")
    assert table["what it is"]["updates"] == ["4", "4", ""]
    assert "told apart" in comparison.differences_said()


def test_runs_without_their_sums_or_of_other_stores_have_no_difference(runs):
    elsewhere = {**runs[0].evaluation["measured_on"], "store_uuid": "another"}
    others = (
        replace(runs[0], name="old", sums=None),
        replace(runs[0], name="far", evaluation={**runs[0].evaluation, "measured_on": elsewhere}),
    )
    comparison = Comparison(runs=(runs[0], *others))
    assert list(comparison.columns) == [ODD_NAME, "old", "far"]
    assert comparison.differences_said() == ""


def test_says_which_runs_were_measured_and_on_what(runs):
    comparison = Comparison(runs=runs)
    trust = runs[0].evaluation["assessment"]["trust"]
    assert comparison.trust() == {ODD_NAME: trust_sentence(trust)}
    assert comparison.unmeasured() == ["run"]


def test_folders_of_one_name_are_told_apart(runs):
    assert Comparison(runs=(*runs, runs[1], runs[1])).names == (ODD_NAME, "run", "run (2)", "run (3)")


def test_ratios_have_intervals_where_a_run_was_assessed(runs):
    ours, theirs = Comparison(runs=runs).ratios_to_copying().values()
    assert ours == runs[0].evaluation["assessment"]["prediction"]["ratio_to"]["copy_last_frame"]
    evaluation = runs[1].evaluation
    copied = evaluation["baselines"]["copy_last_frame"]
    expected = [own / other for own, other in zip(evaluation["l1"], copied, strict=True)]
    assert theirs == [{"mean": ratio} for ratio in expected]
    # The same weights on the same starts.
    assert [one["mean"] for one in ours] == pytest.approx(expected, rel=1e-5)


def test_draws_a_named_line_for_every_run_with_its_intervals():
    figure = Figure(layout="constrained")
    ratios = {
        "one": [{"mean": 0.9, "low": 0.7, "high": 1.2}, {"mean": 0.8, "low": 0.75, "high": 0.9}],
        ODD_NAME: [{"mean": 1.1}, {"mean": 1.0}],
    }
    draw_ratios(figure, ratios, (1, 4), LIGHT, label="L1 / L1 of each")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    one, other = axes.containers
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", r"<b>\$x_1\$ & other"]
    assert one.lines[0].get_ydata() == pytest.approx([0.9, 0.8])
    bars = [segment[:, 1].tolist() for segment in one.lines[2][0].get_segments()]
    assert bars == [pytest.approx([0.7, 1.2]), pytest.approx([0.75, 0.9])]
    assert other.lines[0].get_ydata() == pytest.approx([1.1, 1.0])
    assert other.lines[2] == ()
    beside = [container.lines[0].get_xdata() for container in (one, other)]
    assert (beside[0] < beside[1]).all()


def test_eight_runs_are_told_apart():
    figure = Figure(layout="constrained")
    draw_ratios(figure, {f"run {n}": [{"mean": 1.0}] for n in range(8)}, (1,), LIGHT, label="")
    looks = {(c.lines[0].get_color(), c.lines[0].get_marker()) for c in figure.axes[0].containers}
    assert len(looks) == 8


def test_the_band_of_the_curve_is_the_interval(runs):
    table = HorizonTable.of(runs[0].evaluation)
    measured = runs[0].evaluation["assessment"]["prediction"]["l1"]
    assert table.rows[0].intervals == tuple((one["low"], one["high"]) for one in measured)
    figure = Figure(layout="constrained")
    draw_horizons(figure, table, LIGHT)
    (band,) = figure.axes[0].collections
    drawn = band.get_paths()[0].vertices
    for horizon, interval in zip(table.horizons, measured, strict=True):
        at_horizon = drawn[drawn[:, 0] == horizon, 1]
        assert (at_horizon.min(), at_horizon.max()) == pytest.approx((interval["low"], interval["high"]))
    assert HorizonTable.of(runs[1].evaluation).rows[0].intervals == ()


def test_the_page_shows_every_measure_with_its_interval(text, runs):
    assessment = runs[0].evaluation["assessment"]
    for rows in sections(assessment).values():
        for name, cell in rows:
            assert name.strip() in text
            assert cell in text
    assert shown(assessment["energy"]["rank"]) in text
    assert trust_sentence(assessment["trust"]) in text
    assert "Runs side by side" in text
    assert "Against each baseline" in text


def test_the_page_says_which_command_measures_a_run(text):
    assert "Run run has not been assessed" in text
    assert "permafrost evaluate …/run" in text


def test_a_run_alone_that_was_never_assessed_has_neither_table_nor_intervals(written):
    text = " ".join(Page(written.html.read_text(encoding="utf-8")).text.split())
    assert "has not been assessed" in text
    assert "95 %" not in text
    assert "Runs side by side" not in text


def test_names_of_folders_are_shown_as_text_and_nothing_is_loaded(html, text):
    assert "<b>$x_1$" not in html
    assert ODD_NAME in text
    page = Page(html)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "video"}
    assert all(address.startswith("data:image/") for address in page.loaded)


def test_the_command_draws_runs_side_by_side(permafrost, own_run, tmp_path):
    other = shutil.copytree(own_run.run, tmp_path / "second")
    (other / "report.html").unlink(missing_ok=True)
    code, _, err = permafrost(
        "report", own_run.run, "--against", other, "--store", own_run.store, "--device", "cpu"
    )
    assert code == 0
    assert str(own_run.run / "report.html") in err
    html = (own_run.run / "report.html").read_text(encoding="utf-8")
    assert "Runs side by side" in html
    assert '<th scope="col">second</th>' in html
    assert not (other / "report.html").exists()
    assert json.loads((other / "evaluation.json").read_bytes())["l1"]
