"""Likelihood: log p(x | prompt), exactly, and what follows from it by Bayes' rule.

    log p(x | c) = log sum_j w_j N(x; m_j, C_j),        p(c | x) = w_c p(x | c) / sum_b w_b p(x | b)

Images have a density before the curves (docs/mathematics.md, "Likelihood"), with or without noise added to them; see
`density`. It is continuous: bits per dimension cannot be compared with those of models of whole grey levels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from ..denoiser.moments import precision
from ..image.format import ImageFormat
from ..operators import Observation
from ..utils.groups import by_group
from ..utils.streams import DEQUANTISE, stream
from ..utils.threads import in_parallel
from ..utils.types import AnyArray, Array, Index
from .density import Densities, PromptDensity, chunks, coordinates
from .posterior import Noised, View, condition


def log_density(
    densities: Densities,
    weights: Array,
    image: ImageFormat,
    rows: AnyArray,
    index: Index | None = None,
    noise_std: float = 0.0,
) -> Array:
    """Log-density of images, rows (n, d) in the model's numbers, in nats, shape (n,): under their prompts (n,), or
    under the mixture of all. Noise on pixels, in the model's numbers, is part of the density."""
    if index is None:
        found = [log_densities(block, rows, noise_std) for block in densities.blocks()]
        out: Array = logsumexp(np.hstack(found) + np.log(weights), axis=1)
    else:
        out = np.empty(len(rows))
        for j, members in by_group(index):
            out[members] = log_densities(densities.of([j]), rows[members], noise_std)[:, 0]
    return out - image.n_pixels * np.log(image.unit)


def bits_per_dim(
    densities: Densities, weights: Array, image: ImageFormat, rows: AnyArray, index: Index | None, entropy: int | None
) -> Array:
    """Negative log-density in bits per pixel (and channel), shape (n,); see `LinearDiffusion.bits_per_dim`. The entropy
    is of the noise that makes whole numbers real; None for floating images."""
    if image.pixel_range is None:
        raise ValueError("bits_per_dim needs to know what a grey level is; fit with pixel_range=(low, high).")
    low, high = image.pixel_range
    level, noise_std = (high - low) / 255, 0.0
    if entropy is not None:
        level, noise_std = 1.0, 12**-0.5 / image.unit
        noise = stream(entropy, DEQUANTISE).random(rows.shape, dtype=np.float32) - np.float32(0.5)
        rows = rows + noise / np.float32(image.unit)
    nats = -log_density(densities, weights, image, rows, index, noise_std) / rows.shape[1] - np.log(level)
    return np.asarray(nats / np.log(2))


def log_densities(prompts: Sequence[PromptDensity], rows: AnyArray, noise_std: float = 0.0) -> Array:
    """Log-density of each image (n, d) under each prompt, shape (n, p); noise is in the units of pixels."""
    view = View.of(Observation(np.arange(len(rows)), None, rows), prompts[0].encoder, noise_std)
    given = [condition(prompt, view, precision(rows).type) for prompt in prompts]
    if view.matrix is None:
        return _in_components(given, rows)
    out = np.empty((len(rows), len(prompts)))  # noise is not alike in all directions of standardised pixels
    for j, prompt in enumerate(given):
        for part in chunks(*rows.shape):
            out[part, j] = logsumexp(prompt.evidence(view.take(rows[part]))[0], axis=1)
    return out


def class_log_densities(
    prompts: Sequence[PromptDensity], rows: AnyArray, noise_variance: float, *, leave_out: bool = False
) -> Array:
    """How likely each prompt makes an image to which noise is still to be added: what prompts are read by.

    ``log sum_j w_j exp E_eps[log N(x + eps; m_j, C_j + noise_variance I)]``, Jensen's lower bound of the mean
    log-density of the noisy image, in closed form. The sharpest directions of a prompt, in which it hardly varies at
    all, say less about an image than a Gaussian makes of them, and drown the others; noise levels them. It is the
    diffusion classifier (Li et al. 2023, eq. 6), whose mean over draws of noise is exact here.

    `rows` (n, d); `noise_variance`: variance of the noise, in the units of standardised pixels; `leave_out`: whether
    the component of each prompt that fits an image best plays no part, for images that the components were made of.
    Returns (n, p).
    """
    given = [Noised(prompt, noise_variance, precision(rows).type) for prompt in prompts]
    return _in_components(given, rows, expected=True, leave_out=leave_out)


def _in_components(prompts: Sequence[Any], rows: AnyArray, *, expected: bool = False, leave_out: bool = False) -> Array:
    """Log-densities of images whose components are found once for all prompts. With ``leave_out``, of a prompt that has
    several components the one that fits the image best plays no part."""
    out = np.empty((len(rows), len(prompts)))
    for part in chunks(*rows.shape):
        z, rest = coordinates(prompts[0].prompt.encoder, rows[part])
        energy = np.einsum("nd,nd->n", rest, rest)

        def one(prompt: Noised, z: Array = z, energy: Array = energy) -> Array:
            log_density, _ = prompt.evidence_of(z, energy, expected=expected)
            if leave_out and log_density.shape[1] > 1:
                np.put_along_axis(log_density, log_density.argmax(axis=1)[:, None], -np.inf, axis=1)
            return logsumexp(log_density, axis=1)

        out[part] = np.stack(in_parallel(one, prompts), axis=1)
    return out
