import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.report.landscape import MINIMUM, RECORDED, Landscape, draw_landscape, draw_landscapes
from pipeline.report.theme import DARK, LIGHT
from train.measures.energy_planes import EnergyPlane


def plane_of(axes: tuple[int, int], minimum: tuple[int, int]) -> EnergyPlane:
    """Energies 1.0 but for a row and a column."""
    energy_GG = np.ones((5, 5))
    energy_GG[minimum] = 0.25
    return EnergyPlane(
        axes=axes, metres_G=np.linspace(-0.1, 0.1, 5), energy_GG=energy_GG, recorded_metres=(0.02, -0.03),
        recorded_energy=0.5,
    )  # fmt: skip


@pytest.fixture
def landscape(look) -> Landscape:
    return Landscape(
        pair=look.landscapes[0].pair, planes=(plane_of((0, 1), (4, 1)), plane_of((0, 2), (0, 3)))
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_marks_the_recorded_action_and_the_minimum_in_centimetres(landscape, theme):
    figure = Figure(layout="constrained")
    draw_landscape(figure, landscape, theme)
    marks = [
        {line.get_label(): line.get_xydata()[0].tolist() for line in axes.get_lines()}
        for axes in figure.axes[:2]
    ]
    # The fifth row is the largest dy, the second column a dx of half the bound to the left.
    assert marks[0] == {RECORDED: pytest.approx([2.0, -3.0]), MINIMUM: pytest.approx([-5.0, 10.0])}
    assert marks[1] == {RECORDED: pytest.approx([2.0, -3.0]), MINIMUM: pytest.approx([5.0, -10.0])}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [RECORDED, MINIMUM]


def test_the_lowest_place_is_drawn_where_it_is_marked(landscape):
    figure = Figure(layout="constrained")
    draw_landscape(figure, landscape, LIGHT)
    for axes, plane in zip(figure.axes, landscape.planes, strict=False):
        (image,) = axes.get_images()
        left, right, bottom, top = image.get_extent()
        row, column = np.unravel_index(np.asarray(image.get_array()).argmin(), (5, 5))
        assert image.origin == "lower"
        centre = (left + (column + 0.5) * (right - left) / 5, bottom + (row + 0.5) * (top - bottom) / 5)
        assert centre == pytest.approx(tuple(100 * metres for metres in plane.minimum_metres))
        assert image.get_clim() == (0.25, 1.0)
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["dx, cm", "dx, cm"]
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["dy, cm", "dz, cm"]


def test_all_landscapes_are_on_one_sheet_beside_their_frames(landscape):
    figure = draw_landscapes((landscape, landscape))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"frame {name}" for name in landscape.pair.names] * 2
    pictures = [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_title()]
    assert (pictures[0] == landscape.pair.start).all()
    assert (pictures[1] == landscape.pair.goal).all()


def test_frames_of_a_run_are_the_step_before_and_after(look):
    for landscape in look.landscapes:
        pair = landscape.pair
        # Thumbnail t of a drawn trajectory has the grey value 1 + t.
        assert (pair.start[0, 0, 0], pair.goal[0, 0, 0]) == (1 + pair.offset, 2 + pair.offset)
        assert pair.names == (
            f"{pair.trajectory.index}:{pair.offset}",
            f"{pair.trajectory.index}:{pair.offset + 1}",
        )
        assert pair.trajectory.split == "validation"
