"""Lines of small pictures under one another, as they lie in a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pipeline.report.theme import FONT_SIZE

_SIDE: Final = 0.94  # of a cell, the rest is the gap to the next


@dataclass(frozen=True, kw_only=True, eq=False)
class StripRow:
    """One line of pictures, of the last F frames that are shown.

    pictures_FHWC: uint8 RGB. means_F: mean error of each picture, None where colours are no scale.
    """

    name: str
    pictures_FHWC: NDArray[np.uint8]
    means_F: NDArray[np.float64] | None = None


def draw_tiles(axes: Axes, rows: Sequence[StripRow], column_labels: Sequence[str]) -> None:
    """Draw every row into `axes`, one column a label; a shorter row lacks its first columns."""
    for number, row in enumerate(rows):
        first_column = len(column_labels) - len(row.pictures_FHWC)
        for column, picture in enumerate(row.pictures_FHWC, start=first_column):
            extent = (column, column + _SIDE, number + _SIDE, number)
            axes.imshow(picture, extent=extent, interpolation="nearest")
    axes.set(xlim=(0, len(column_labels)), ylim=(len(rows), 0), aspect="equal")
    axes.set_xticks([column + _SIDE / 2 for column in range(len(column_labels))], column_labels)
    axes.set_yticks([number + _SIDE / 2 for number in range(len(rows))], [row.name for row in rows])
    axes.tick_params(
        length=0, labelsize=FONT_SIZE - 1, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    axes.spines[:].set_visible(False)
