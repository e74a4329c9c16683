"""Decoder: latents -> images.

    x = detail(tone(V' z / scale + mean))

The linear decoder of `pca`, then the pointwise curves that samples end with (`tone`, `detail`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from ..utils.groups import by_group
from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array, Index
from .detail import DetailCurves
from .format import ImageFormat
from .pca import PCAEncoder
from .tone import ToneCurves


class Curves(Protocol):
    """Tone curves by their number."""

    def at(self, prior: Any, encoder: PCAEncoder) -> "Curves":
        """The curves of a prior's prompts."""

    def __getitem__(self, curves: Index) -> ToneCurves:
        """Some of them."""

    def mixed(self, weights: dict[int, float], plain: float = 0.0) -> ToneCurves:
        """One curve, the weighted mean of several, and of no curve."""


@dataclass(frozen=True)
class Decoder:
    """From latents to images: principal components, then tone curves (or what has them for a prior, see `at`) and
    details."""

    encoder: PCAEncoder
    image: ImageFormat
    curves: Any = None
    details: DetailCurves | None = None

    def at(self, prior: Any) -> "Decoder":
        """With the curves of a prior's prompts."""
        return self if self.curves is None else replace(self, curves=self.curves.at(prior, self.encoder))

    def plain(self) -> "Decoder":
        """Without curves."""
        return replace(self, curves=None, details=None)

    def without_details(self) -> "Decoder":
        """With tone curves alone."""
        return replace(self, details=None)

    def grid(self, curve: int) -> tuple[Array, Array]:
        """Where the table of a tone curve begins, and its steps, for each pixel (d,); 0 and 1 without curves."""
        d = self.image.n_pixels
        if self.curves is None:
            return np.zeros(d), np.ones(d)
        own = self.curves[np.array([curve])]
        low, step = (np.tile(a[0], d // a.shape[1]) for a in (own.low, own.step))
        return low, step

    def finish(self, numbers: Array, curve: Index, *, on_grid: bool = False) -> AnyArray:
        """Decoded pixels (n, d) through each image's curves; in the data's dtype. On the grid they come as positions in
        the tables, ``(pixel - low) / step``; see `grid`."""
        if self.curves is None:
            return self.image.cast(numbers)
        cast_to = self.image.cast if self.details is None else self.image.table  # once a table, not once a pixel
        toned = np.empty(numbers.shape, cast_to(np.empty(0, np.float32)).dtype)
        for g, rows in by_group(curve):
            own = self.curves[np.array([g])]
            own = replace(own, table=cast_to(own.table))
            toned[rows] = own.look_up(numbers[rows] if on_grid else own.position(numbers[rows], 0), 0)
        if self.details is None:
            return toned
        out = np.empty(numbers.shape, self.image.dtype)
        for j, rows in by_group(self.details.owner[curve]):
            out[rows] = self._details_in_pixels.apply(toned[rows], j, self.image)
        return out

    def decode(self, z: Array, curve: Index | None = None) -> AnyArray:
        """Latents (n, k) as rows of pixels (n, d), through each one's curves, or through none."""
        if curve is None:
            return self.image.cast(self.encoder.decode(z))
        order = np.argsort(curve, kind="stable")
        out = np.empty((len(z), self.image.n_pixels), self.image.dtype)
        out[order] = self.finish(self.encoder.decode(z[order]), curve[order])
        return out

    def mixed(self, mixes: Sequence[tuple[dict[int, float], float]]) -> "Decoder":
        """With a curve for each mix of curves, and of none, which leaves pixels as they are; weights sum to 1."""
        if self.curves is None:
            return self
        curves = ToneCurves.joined([self.curves.mixed(weights, plain) for weights, plain in mixes])
        return replace(self, curves=curves, details=self.details and self.details.mixed(mixes, self.image))

    @lazy
    def _details_in_pixels(self) -> DetailCurves:
        """The detail curves, which give pixels in the data's units and dtype."""
        details = cast(DetailCurves, self.details)
        return replace(details, table=self.image.cast(details.table))
