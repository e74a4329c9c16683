"""Sums: what a model of one Gaussian for each prompt learns from moments of pixels alone, however these were added up.

    n = n_1 + n_2,   mean = (n_1 m_1 + n_2 m_2) / n,   S = S_1 + S_2 + (n_1 n_2 / n) (m_1 - m_2)(m_1 - m_2)'

All that a model without styles learns follows from them in closed form, so that it equals one fit on all images at once
(docs/mathematics.md, "Moments"; Chan, Golub and LeVeque 1983, eq. 2.1). Styles are clusters of images, which are no
sum.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ..denoiser.moments import Moments, require_room
from . import Parts, from_moments
from .batches import BatchSource
from .encoder import PixelSums, Settings, Work, encoder_from, learn_from, require_memory
from .source import batch_length

SUMS = {"styles": 1, "training": "exact", "text_encoder": "one-hot"}
"""Parameters with which all that is learned is a sum over images."""


def is_sum(model: Any) -> bool:
    """Whether all that is learned is a sum over images, so that batches add up."""
    for name, needed in SUMS.items():
        if (value := getattr(model, name)) != needed:
            raise AttributeError(
                f"partial_fit goes with {name}={needed!r}, not {name}={value!r}: only there all that is learned is a "
                f"sum over images. Set {name}={needed!r}, or fit all images at once."
            )
    return True


def moments_of(batches: Any, pixel_range: Any = "auto") -> Moments:
    """The moments of the pixels of a stream of (images, prompts), read as `LinearDiffusion.fit_batches` reads it."""
    source = BatchSource(batches, pixel_range, rescale=True)
    d = source.image.n_pixels
    require_room(len(source.classes), d, d * 16 * batch_length(source.rows_dtype, d))
    sums = source.total(PixelSums.of(source, diagonal=False), "moments of pixels")
    return replace(sums.moments, image=source.image)


def fit_moments(moments: Moments, settings: Settings) -> Parts:
    """One Gaussian for each prompt, from moments of pixels. Raises `NotEnoughMemoryError` before any work."""
    if moments.image is None:
        raise ValueError(
            f"{moments} do not say what images look like (image=None), as a model must know to draw some; make them "
            "with Moments.fit(images, prompts)."
        )
    if moments.diagonal or not (len(moments.counts) and moments.counts.all()):
        raise ValueError(f"{moments} are no moments of pixels of each prompt; make them with Moments.fit.")
    image, n = moments.image, int(moments.counts.sum())
    if not settings.unit_is_free:
        image = image.spanned(*image.reach, rescale=False)
    p, d = moments.means.shape
    itemsize = np.dtype(image.dtype).itemsize
    work = Work(p, d, max(n, d), 1, itemsize, image.n_channels, n_sums=0)
    require_memory(work, min(d, int(settings.latent_dim) or d))
    moments = moments.counted_in(image)
    return from_moments(learn_from(moments, encoder_from(moments, settings)), image, settings)
