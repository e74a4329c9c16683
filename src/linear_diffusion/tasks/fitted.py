"""What the methods of the tasks read of a fitted model."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from .._types import AnyArray, Array, Index
from .confidence import CalibrationImages, Confidence
from .density import PromptDensity, densities

if TYPE_CHECKING:
    from ..denoiser import GaussianDenoiser
    from ..image import ImageFormat, PCAEncoder
    from ..styles import Styles


_BLOCK_BYTES = 2**27
"""What densities of prompts without styles take that are asked together."""


def is_exact(model: Any) -> bool:
    """Whether a model has a density: the noise of sampled training does not tell it."""
    if model.training == "sampled":
        raise AttributeError('a density needs training="exact"; this model has training="sampled".')
    return True


class Fitted:
    """The learned numbers that densities are made of; `LinearDiffusion` has them."""

    if TYPE_CHECKING:
        training: str
        random_state: Any
        classes_: AnyArray
        weights_: Array
        image_shape_: tuple[int, ...]
        n_images_: int
        _image: ImageFormat
        _encoder: PCAEncoder
        _prior: GaussianDenoiser
        _residual: Array
        _mixture: Styles | None

        def _at(self, prompts: Any) -> Self: ...
        def _check_images(self, X: Any, *, reset: bool) -> AnyArray: ...
        def _check_rows(self, X: Any) -> AnyArray: ...
        def _index_prompts(self, n: int | None, prompts: Any, entropy: int) -> Index: ...

    _confidence_source: Confidence | CalibrationImages | None = None

    @property
    def _confidence(self) -> Confidence | None:
        source = self._confidence_source
        if isinstance(source, CalibrationImages):
            return source.confidence(self._density_blocks, self.weights_)
        return source

    @_confidence.setter
    def _confidence(self, confidence: Confidence | None) -> None:
        self._confidence_source = confidence

    def _densities(self, prompts: slice = slice(None)) -> list[PromptDensity]:
        """The densities of some prompts, or of all; with styles, always of all."""
        if self._mixture is not None:
            return densities(self._encoder, self._prior, self._residual, self._mixture)
        return densities(self._encoder, self._prior[prompts], self._residual[prompts])

    def _density_blocks(self) -> Iterator[list[PromptDensity]]:
        """The densities of all prompts in turn, as many at once as fit; with styles, all at once."""
        p, (k, d) = len(self._residual), self._encoder.components.shape
        most = p if self._mixture is not None else max(_BLOCK_BYTES // (8 * k * (k + d)), 1)
        yield from (self._densities(slice(first, first + most)) for first in range(0, p, most))
