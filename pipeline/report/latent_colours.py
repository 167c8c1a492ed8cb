"""Latents as colours: their three strongest directions as red, green and blue.

Legend: X any leading dimensions, D encoder width.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_PERCENTILES: Final = (1.0, 99.0)
# Latents that are all alike have no direction and become one colour.
_LEAST_SPAN: Final = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentColours:
    """A projection fitted once, so that equal colours mean equal latents wherever it is used.

    axes_D3: orthonormal directions. low_3, span_3: [low, low + span] becomes 0..255, where colours saturate.
    explained_share: of the variance of the latents fitted on, within the three directions.
    """

    mean_D: NDArray[np.float64]
    axes_D3: NDArray[np.float64]
    low_3: NDArray[np.float64]
    span_3: NDArray[np.float64]
    explained_share: float

    @classmethod
    def fit(cls, latents_XD: NDArray[np.float32]) -> "LatentColours":
        """Principal directions of latents (..., D), D at least 3; the same input gives the same colours."""
        flat_XD = latents_XD.reshape(-1, latents_XD.shape[-1]).astype(np.float64)
        mean_D = flat_XD.mean(axis=0)
        variance_D, directions_DD = np.linalg.eigh(np.cov(flat_XD, rowvar=False, bias=True))
        axes_D3 = _pointing_one_way(directions_DD[:, :-4:-1])
        low_3, high_3 = np.percentile((flat_XD - mean_D) @ axes_D3, _PERCENTILES, axis=0)
        return cls(
            mean_D=mean_D,
            axes_D3=axes_D3,
            low_3=low_3,
            span_3=np.maximum(high_3 - low_3, _LEAST_SPAN),
            explained_share=float(variance_D[-3:].sum() / max(variance_D.sum(), _LEAST_SPAN)),
        )

    def __call__(self, latents_XD: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Colours, uint8 (..., 3)."""
        unit_X3 = ((latents_XD - self.mean_D) @ self.axes_D3 - self.low_3) / self.span_3
        return np.asarray((unit_X3.clip(0.0, 1.0) * 255).round(), dtype=np.uint8)


def _pointing_one_way(axes_D3: NDArray[np.float64]) -> NDArray[np.float64]:
    """An eigenvector is as good as its negative: make the largest entry of each positive."""
    largest = np.abs(axes_D3).argmax(axis=0)
    return np.asarray(axes_D3 * np.sign(axes_D3[largest, np.arange(axes_D3.shape[1])]))
