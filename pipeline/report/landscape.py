"""The energy landscape around a recorded action: two planes, the recorded action and the minimum marked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from pipeline.report.frame_pair import FramePair
from pipeline.report.panels import AXIS_NAMES, CENTIMETRES, sheet, two_panels
from pipeline.report.theme import FONT_SIZE, Theme
from train.measures.energy_planes import EnergyPlane

ENERGY_COLOURS: Final = "viridis"
RECORDED: Final = "recorded action"
MINIMUM: Final = "lowest energy"


@dataclass(frozen=True, kw_only=True, eq=False)
class Landscape:
    """One held-out step and the planes around its action."""

    pair: FramePair
    planes: tuple[EnergyPlane, ...]


def draw_landscape(figure: FigureBase, landscape: Landscape, theme: Theme) -> None:
    """Both planes on one scale of energies, dark where it is low."""
    energies = [plane.energy_GG for plane in landscape.planes]
    scale = Normalize(min(e.min() for e in energies), max(e.max() for e in energies))
    panels = two_panels(figure, theme)
    for axes, plane in zip(panels, landscape.planes, strict=True):
        marks = _draw_plane(axes, plane, scale)
    bar = figure.colorbar(
        ScalarMappable(scale, ENERGY_COLOURS), ax=panels, location="bottom", aspect=40, fraction=0.05
    )
    bar.ax.tick_params(colors=theme.text, labelsize=FONT_SIZE - 2)
    bar.set_label("L1 to the next frame", size=FONT_SIZE - 1, color=theme.text)
    theme.legend(figure, marks, "outside upper left", columns=2)


def draw_landscapes(landscapes: tuple[Landscape, ...]) -> Figure:
    """All on one sheet."""
    return sheet(landscapes, lambda landscape: landscape.pair, draw_landscape)


def _draw_plane(axes: Axes, plane: EnergyPlane, scale: Normalize) -> list[Line2D]:
    across, up = (AXIS_NAMES[axis] for axis in plane.axes)
    step = plane.metres_G[1] - plane.metres_G[0]
    edge = CENTIMETRES * (plane.metres_G[-1] + step / 2)
    axes.imshow(
        plane.energy_GG, origin="lower", extent=(-edge, edge, -edge, edge), cmap=ENERGY_COLOURS, norm=scale,
        interpolation="none",
    )  # fmt: skip
    axes.grid(visible=False)
    axes.set(xlabel=f"d{across}, cm", ylabel=f"d{up}, cm")
    return [
        _mark(axes, plane.recorded_metres, RECORDED, {"marker": "*", "markersize": 14, "color": "#ffffff"}),
        _mark(axes, plane.minimum_metres, MINIMUM, {"marker": "o", "markersize": 9, "color": "#d55e00"}),
    ]


def _mark(axes: Axes, place: tuple[float, float], name: str, stroke: Mapping[str, Any]) -> Line2D:
    x, y = (CENTIMETRES * metres for metres in place)
    edged: dict[str, Any] = {"markeredgecolor": "#000000", "linestyle": "none", **stroke}
    return axes.plot([x], [y], label=name, **edged)[0]
