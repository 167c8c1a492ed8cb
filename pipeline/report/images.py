"""Pictures as data: addresses, so that a page needs no other file."""

import base64
import io
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

PICTURE_DPI: Final = 120


def png(pixels_HWC: NDArray[np.uint8]) -> str:
    """The address of an RGB picture, uint8 (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, format="png", optimize=True)
    return address("image/png", buffer.getvalue())


def svg(figure: Figure) -> str:
    """The address of a figure, its letters drawn as paths; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    # The only way to keep drawn names out of the file's ids; it ends with the block.
    with mpl.rc_context({"svg.hashsalt": "permafrost", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return address("image/svg+xml", buffer.getvalue())


def png_bytes(figure: Figure) -> bytes:
    """A figure as the contents of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PICTURE_DPI, metadata={"Software": None})
    return buffer.getvalue()


def address(media_type: str, content: bytes) -> str:
    """The contents of a file as the address of it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
