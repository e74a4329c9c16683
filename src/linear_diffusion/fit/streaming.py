"""Streaming: moments are a sum over images, so they add up batch by batch (docs/mathematics.md, "Moments").

    n = n_1 + n_2,   mean = (n_1 m_1 + n_2 m_2) / n,   S = S_1 + S_2 + (n_1 n_2 / n) (m_1 - m_2)(m_1 - m_2)'

All that a model without styles learns follows from them in closed form, so that it equals one fit on all images at once
(Chan, Golub and LeVeque 1979, eq. 2.1). Styles are clusters of images, which are no sum.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ..denoiser.moments import N_TONES, Moments
from ..image.format import ImageFormat
from ..utils.types import AnyArray, Index
from . import Parts, from_moments
from .encoder import MOST_PIXELS, Settings, Work, encoder_from, fits_dense, learn_from, require_memory


def is_sum(model: Any) -> bool:
    """Whether all that is learned is a sum over images, so that batches add up."""
    for name, needed in (("styles", 1), ("training", "exact"), ("text_encoder", "one-hot")):
        if (value := getattr(model, name)) != needed:
            raise AttributeError(
                f"partial_fit goes with {name}={needed!r}, not {name}={value!r}: only there all that is learned is a "
                f"sum over images. Set {name}={needed!r}, or fit all images at once."
            )
    return True


def add_batch(
    moments: Moments | None,
    before: ImageFormat | None,
    X: AnyArray,
    index: Index,
    classes: AnyArray,
    pixel_range: Any,
    settings: Settings,
) -> tuple[Parts, Moments]:
    """What is learned of one more batch (n, ...) and of those before it, whose moments and format are given; and their
    moments."""
    if before and pixel_range == "auto":
        pixel_range = before.pixel_range
    image = ImageFormat.of(X, pixel_range, rescale=settings.unit_is_free, beside=before.span if before else None)
    if before and _kind(image) != _kind(before):
        raise ValueError(f"this batch is {_kind(image)}, those before it were {_kind(before)}; give all alike.")
    known = classes if moments is None else moments.prompts
    p, d = len(set(known) | set(classes)), image.n_pixels
    if not fits_dense(p, d):
        raise ValueError(
            f"partial_fit keeps {p} matrices of {d} x {d} numbers, which is too many; use smaller images (at most "
            f"{MOST_PIXELS} pixels) or fewer prompts, or fit all images at once."
        )
    # The sums of this batch, and those of all, which replace the sums before.
    work = Work(p, d, max(len(X), d), len(X), X.dtype.itemsize, image.n_channels, n_sums=2)
    require_memory(work, min(d, int(settings.latent_dim) or d))
    tones, n_channels = (image.tones, image.n_channels) if image.pixel_range else (None, 0)
    batch = Moments.of(image.rows(X), index, classes, tones=tones, n_channels=n_channels)
    whole = batch if moments is None or before is None else _counted_anew(moments, before, image) + batch
    return from_moments(learn_from(whole, encoder_from(whole, settings)), image, settings), whole


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
