import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.report.look import PLAN_STEPS
from pipeline.report.plan_picture import DrawnPlan, draw_plan, draw_plans
from pipeline.report.theme import DARK, LIGHT
from train.measures.planned_path import PlannedPath

RECORDED = np.array([[0.4, 0.1, 0.3], [0.42, 0.08, 0.3], [0.5, 0.0, 0.25]])
PLANNED = np.array([[0.4, 0.1, 0.3], [0.41, 0.1, 0.35], [0.43, 0.02, 0.4]])


@pytest.fixture
def plan(look) -> DrawnPlan:
    path = PlannedPath(
        planned_metres=PLANNED, recorded_metres=RECORDED, energy=0.1, idle_energy=0.3, recorded_energy=0.2
    )
    return DrawnPlan(pair=look.plans[0].pair, path=path)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_both_ways_start_at_the_origin_in_centimetres(plan, theme):
    figure = Figure(layout="constrained")
    draw_plan(figure, plan, theme)
    for axes, view in zip(figure.axes, ([0, 1], [0, 2]), strict=True):
        drawn = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
        assert drawn["recorded"] == pytest.approx(100 * (RECORDED - RECORDED[0])[:, view])
        assert drawn["planned"] == pytest.approx(100 * (PLANNED - RECORDED[0])[:, view])
        assert drawn["start"] == pytest.approx(np.zeros((1, 2)))
        assert drawn["goal"] == pytest.approx(100 * (RECORDED[-1:] - RECORDED[0])[:, view])
    titles = [(axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert titles == [("from above", "x, cm", "y, cm"), ("from the side", "x, cm", "z, cm")]


def test_both_views_have_one_scale_and_hold_all_of_both_ways(plan):
    figure = Figure(layout="constrained")
    draw_plan(figure, plan, LIGHT)
    spans = []
    for axes in figure.axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        spans += [right - left, top - bottom]
        for line in axes.get_lines():
            x, y = line.get_xydata().T
            assert (left < x).all()
            assert (x < right).all()
            assert (bottom < y).all()
            assert (y < top).all()
    assert spans == pytest.approx([spans[0]] * 4)


def test_a_plan_that_stands_still_can_be_drawn(plan):
    still = PlannedPath(planned_metres=RECORDED[[0, 0]], recorded_metres=RECORDED[[0, 0]], energy=0.0,
                        idle_energy=0.0, recorded_energy=0.0)  # fmt: skip
    figure = draw_plans((DrawnPlan(pair=plan.pair, path=still),))
    figure.draw_without_rendering()
    assert figure.axes[-1].get_xlim() == pytest.approx((-2.0, 2.0))


def test_plans_of_a_run_lead_over_their_steps(look):
    for plan in look.plans:
        assert len(plan.path.planned_metres) == len(plan.path.recorded_metres) == PLAN_STEPS + 1
        assert plan.pair.goal[0, 0, 0] - plan.pair.start[0, 0, 0] == PLAN_STEPS
        assert plan.path.planned_metres[0] == pytest.approx(plan.path.recorded_metres[0])
    moved = [plan.path.moved_metres for plan in look.plans]
    assert moved == sorted(moved, reverse=True)
