"""A look into a store: frames of a few trajectories, and under each its latent in colours.

Legend: F frames drawn, H and W rows and columns, N tokens per frame, D encoder width.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.latent_colours import LatentColours
from pipeline.report.theme import FONT_SIZE, LIGHT
from pipeline.report.tiles import StripRow, draw_tiles
from pipeline.stored_frames import StoredFrames
from store_schema.store import Store

TILE_INCHES: Final = 1.1
NAMES_INCHES: Final = 0.9
# Room for the longest name of an episode above even a single frame.
LEAST_INCHES: Final = 4.2
LONGEST_NAME: Final = 44
SHEET_INCHES: Final = 9.0


def draw_store_picture(store: Store, drawn: Sequence[StoredFrames]) -> Figure:
    """Thumbnails above their latents, whose colours are those of one projection for all frames drawn."""
    colours = LatentColours.fit(np.concatenate([frames.latents_FND for frames in drawn]))
    num_frames = max(len(frames.offsets) for frames in drawn)
    cell_inches = max(num_frames * TILE_INCHES + NAMES_INCHES, LEAST_INCHES)
    num_columns = min(max(int(SHEET_INCHES / cell_inches), 1), len(drawn))
    num_lines = -(-len(drawn) // num_columns)
    figure = LIGHT.figure(num_columns * cell_inches, num_lines * (2 * TILE_INCHES + 0.8) + 0.6)
    cells = figure.subplots(num_lines, num_columns, squeeze=False).ravel()
    for axes in cells[len(drawn) :]:
        axes.set_axis_off()
    for axes, frames in zip(cells, drawn, strict=False):
        _draw_trajectory(axes, store, frames, colours)
    encoder = store.attributes.fingerprint.encoder.name
    figure.suptitle(
        f"{_plain(store.path.name)}, latents of {encoder} in 3 principal colours "
        f"({colours.explained_share:.0%} of their variance)",
        fontsize=FONT_SIZE,
        parse_math=False,
        wrap=True,
    )
    return figure


def _draw_trajectory(axes: Axes, store: Store, frames: StoredFrames, colours: LatentColours) -> None:
    fingerprint, trajectory = store.attributes.fingerprint, frames.trajectory
    grid = (fingerprint.encoder.grid_height, fingerprint.encoder.grid_width)
    coloured = colours(frames.latents_FND).reshape(-1, *grid, 3)
    rows = (
        StripRow(name="seen", pictures_FHWC=frames.thumbnails_FHWC),
        StripRow(name="latent", pictures_FHWC=coloured),
    )
    seconds = [f"{offset / fingerprint.frame_rate_hz:g} s" for offset in frames.offsets]
    draw_tiles(axes, rows, seconds)
    of_trajectory = f"{trajectory.camera}, {trajectory.split}, {trajectory.num_frames} frames"
    axes.set_title(
        f"{_shortened(_plain(trajectory.episode_id))}\ntrajectory {trajectory.index}: {of_trajectory}",
        fontsize=FONT_SIZE - 1,
        parse_math=False,
    )


def _plain(name: str) -> str:
    """The figure's font lacks most scripts, and would draw boxes and warn."""
    return name.encode("ascii", "backslashreplace").decode()


def _shortened(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    kept = (LONGEST_NAME - 3) // 2
    return f"{name[:kept]}...{name[-kept:]}"
