"""Colours and strokes of the figures, for light and for dark surroundings.

Series take the palette of Okabe and Ito, which people with the common colour deficiencies tell apart, and
differ in marker and dash as well, so that a grey print can be read too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

FONT_SIZE: Final = 10


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours as matplotlib takes them. `series` and `bands` are told apart by position, not by name."""

    background: str
    text: str
    muted: str
    grid: str
    series: tuple[str, str, str, str]
    bands: tuple[str, str, str]

    def figure(self, width_inches: float, height_inches: float) -> Figure:
        """An empty figure in these colours, on no canvas that anybody else sees."""
        size = (width_inches, height_inches)
        return Figure(figsize=size, facecolor=self.background, layout="constrained")

    def style(self, axes: Axes) -> None:
        """Quiet axes: two spines and a faint grid, all in the theme's colours."""
        axes.set_facecolor(self.background)
        axes.grid(visible=True, color=self.grid, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(colors=self.text, labelsize=FONT_SIZE - 1)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(self.muted)
        for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
            label.set_color(self.text)
            label.set_fontsize(FONT_SIZE)

    def legend(
        self,
        figure: FigureBase,
        handles: Sequence[Artist],
        place: Literal["outside upper left", "outside lower left"],
        *,
        columns: int,
    ) -> None:
        """A legend beside the axes, where it cannot lie on a curve."""
        figure.legend(handles=handles, loc=place, ncols=columns, frameon=False,
                      fontsize=FONT_SIZE - 1, labelcolor=self.text, columnspacing=1.2)  # fmt: skip


LIGHT: Final = Theme(
    background="#ffffff",
    text="#1c2126",
    muted="#7a828a",
    grid="#e3e6e9",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    bands=("#fdf0c4", "#eef2f5", "#d3e9f7"),
)

DARK: Final = Theme(
    background="#171b20",
    text="#e6e9ec",
    muted="#8b949c",
    grid="#2d343b",
    series=("#56b4e9", "#e69f00", "#3fc79a", "#d99bbf"),
    bands=("#4a4020", "#23292f", "#1c3f57"),
)

STROKES: Final[tuple[Mapping[str, Any], ...]] = (
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": "--"},
    {"marker": "^", "linestyle": "-."},
    {"marker": "D", "linestyle": ":"},
)
