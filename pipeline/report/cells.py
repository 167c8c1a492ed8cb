"""Small pictures of the page, and what is said under each."""

from dataclasses import dataclass

from pipeline.report import images
from pipeline.report.frame_pair import FramePair
from pipeline.report.neighbours import Neighbour, WindowNeighbours
from pipeline.report.strip import Strip, Window
from pipeline.report.tiles import StripRow


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One small picture of a strip and what is said under it; '' where there is neither."""

    picture: str = ""
    number: str = ""


def window_cells(strip: Strip, window: Window) -> list[tuple[str, list[Cell]]]:
    """By the names of the rows, a cell for every frame."""
    return [(row.name, _cells(row, len(window.thumbnails))) for row in strip.rows(window)]


def _cells(row: StripRow, num_frames: int) -> list[Cell]:
    """A cell for every frame of the window; those before the first picture stay empty."""
    pictures = [images.png(picture) for picture in row.pictures_FHWC]
    numbers = [""] * len(pictures) if row.means_F is None else [f"{mean:.3f}" for mean in row.means_F]
    filled = [Cell(picture=p, number=n) for p, n in zip(pictures, numbers, strict=True)]
    return [Cell()] * (num_frames - len(filled)) + filled


def neighbour_cells(found: WindowNeighbours) -> list[tuple[str, list[Cell]]]:
    """By the names of the rows, a cell for every horizon."""
    return [
        (name, [Cell(picture=images.png(n.thumbnail), number=_named(n, found)) for n in row])
        for name, row in found.rows.items()
    ]


def _named(neighbour: Neighbour, found: WindowNeighbours) -> str:
    """The frame of the window's own trajectory, or TRAJECTORY:FRAME, and how far it is."""
    own = neighbour.trajectory == found.trajectory.index
    place = f"frame {neighbour.offset}" if own else f"{neighbour.trajectory}:{neighbour.offset}"
    return place if neighbour.distance is None else f"{place}, L1 {neighbour.distance:.3f}"


def pair_cells(pair: FramePair) -> list[tuple[str, str]]:
    """Name and picture of both frames."""
    return list(zip(pair.names, map(images.png, (pair.start, pair.goal)), strict=True))
