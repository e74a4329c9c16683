"""Streaming: moments are a sum over images, so they add up batch by batch (docs/mathematics.md, "Moments").

    n = n_1 + n_2,   mean = (n_1 m_1 + n_2 m_2) / n,   S = S_1 + S_2 + (n_1 n_2 / n) (m_1 - m_2)(m_1 - m_2)'

All that a model without styles learns follows from them in closed form, so that it equals one fit on all images at once
(Chan, Golub and LeVeque 1979, eq. 2.1). Styles are clusters of images, which are no sum.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from .checks import check_prompts, check_range
from .image import ImageFormat
from .moments import N_TONES, Moments
from .training import MOST_PIXELS, Learned, Work, fits_dense, learn_from, require_memory


class StreamingMixin:
    """`partial_fit` of `LinearDiffusion`, which takes what was learned."""

    styles: int
    text_encoder: Any
    training: str
    latent_dim: int | float
    schedule: str
    standardize: bool
    pixel_range: Any
    _image: ImageFormat
    _moments: Moments | None = None

    _validate_params: Callable[[], None]
    _check_images: Callable[..., Any]
    _rescales: Callable[[], bool]
    _take: Callable[[Learned, ImageFormat, int], None]

    @property
    def partial_fit(self) -> Callable[..., Self]:
        """Learn from one more batch of images, as if all batches so far had been fitted at once.

        It is there for models of one Gaussian per prompt: ``styles=1``, exact training, one-hot prompts.

        Parameters
        ----------
        X : array of shape (n, h, w), (n, h, w, channels) or (n, d)
            As in `fit`; all batches of one shape and dtype.
        y : sequence of n prompts, optional
            New prompts may come with any batch.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            With other parameters: clusters of images are no sum over batches.
        ValueError
            If a batch does not go with those before it.

        Warns
        -----
        UserWarning
            If `fit` came before, which keeps no sums: partial_fit starts anew.

        Examples
        --------
        >>> import numpy as np
        >>> from linear_diffusion import LinearDiffusion
        >>> from sklearn.datasets import load_digits
        >>> images, y = load_digits().images / 16, load_digits().target
        >>> model = LinearDiffusion(styles=1, latent_dim=30)
        >>> for part in range(0, 1797, 600):
        ...     model = model.partial_fit(images[part : part + 600], y[part : part + 600])
        >>> whole = LinearDiffusion(styles=1, latent_dim=30).fit(images, y)
        >>> bool(np.allclose(model.covariances_, whole.covariances_))
        True
        """
        for name, value, needed in (
            ("styles", self.styles, 1),
            ("training", self.training, "exact"),
            ("text_encoder", self.text_encoder, "one-hot"),
        ):
            if value != needed:
                raise AttributeError(
                    f"partial_fit goes with {name}={needed!r}, not {name}={value!r}: only there all that is learned is "
                    f"a sum over images. Set {name}={needed!r}, or fit all images at once."
                )
        return self._partial_fit

    def _partial_fit(self, X: Any, y: Any = None) -> Self:
        self._validate_params()
        pixel_range, first = check_range(self.pixel_range), self._moments is None
        if first and hasattr(self, "_prior"):
            warnings.warn(
                "partial_fit starts anew: fit keeps no sums, nor do saved models, and what was learned is replaced. "
                "Call partial_fit from the first batch on.",
                stacklevel=2,
            )
        X = self._check_images(X, reset=first)
        classes, index = check_prompts(y, len(X))
        before = None if first else self._image
        if before and pixel_range == "auto":
            pixel_range = before.pixel_range
        image = ImageFormat.of(X, pixel_range, rescale=self._rescales(), beside=before.span if before else None)
        if before and _kind(image) != _kind(before):
            raise ValueError(f"this batch is {_kind(image)}, those before it were {_kind(before)}; give all alike.")
        known = classes if self._moments is None else self._moments.prompts
        p, d = len(set(known) | set(classes)), image.n_pixels
        if not fits_dense(p, d):
            raise ValueError(
                f"partial_fit keeps {p} matrices of {d} x {d} numbers, which is too many; use smaller images (at most "
                f"{MOST_PIXELS} pixels) or fewer prompts, or fit all images at once."
            )
        # The sums of this batch, and those of all, which replace the sums before.
        work = Work(p, d, max(len(X), d), len(X), X.dtype.itemsize, image.n_channels, n_sums=2)
        require_memory(work, min(d, int(self.latent_dim) or d))
        tones, n_channels = (image.tones, image.n_channels) if image.pixel_range else (None, 0)
        moments = Moments.of(image.rows(X), index, classes, tones=tones, n_channels=n_channels)
        if self._moments is not None and before:
            moments = _counted_anew(self._moments, before, image) + moments
        rescale = self.schedule != "one-step"
        learned = learn_from(moments, self.latent_dim, standardize=self.standardize, rescale=rescale)
        self._take(learned, image, int(moments.counts.sum()))
        self._moments = moments
        return self

    _partial_fit.__qualname__ = "LinearDiffusion.partial_fit"  # what Python's own errors call it


def _kind(image: ImageFormat) -> str:
    """What all batches have alike."""
    return f"images of shape {image.shape}, dtype {image.dtype} and pixel_range={image.pixel_range}"


def _counted_anew(moments: Moments, before: ImageFormat, now: ImageFormat) -> Moments:
    """Sums over images, where those to come widen what pixels span: in other units, and with other tones."""
    if before == now or before.span is None:
        return moments
    tone = now.tones(now.inner(np.linspace(*before.span, N_TONES)[None]))[0]
    scale, shift = before.unit / now.unit, (before.origin - now.origin) / now.unit
    return replace(
        moments,
        means=scale * moments.means + shift,
        scatter=scale * (scale * moments.scatter),
        histogram=moments.histogram @ (tone[:, None] == np.arange(N_TONES)),
    )
