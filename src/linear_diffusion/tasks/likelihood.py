"""Likelihood: log p(x | prompt), exactly, and what follows from it by Bayes' rule.

    log p(x | c) = log sum_j w_j N(x; m_j, C_j),        p(c | x) = w_c p(x | c) / sum_b w_b p(x | b)

Images have a density before the tone curve (docs/mathematics.md, "Likelihood"), with or without noise added to them;
see `density`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from .._threads import in_parallel
from .._types import AnyArray, Array
from ..moments import precision
from ..operators import Observation
from .density import PromptDensity, chunks, coordinates
from .posterior import Noised, View, condition


def log_densities(prompts: Sequence[PromptDensity], rows: AnyArray, noise_std: float = 0.0) -> Array:
    """Log-density of each image under each prompt.

    Parameters
    ----------
    prompts : sequence of p PromptDensity
    rows : array of shape (n, d)
    noise_std : float
        Of noise on pixels, in their units.

    Returns
    -------
    array of shape (n, p), float64, in nats
    """
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
    prompts: Sequence[PromptDensity], rows: AnyArray, level2: float, *, leave_out: bool = False
) -> Array:
    """How likely each prompt makes an image to which noise is still to be added: what prompts are read by.

    ``log sum_j w_j exp E_eps[log N(x + eps; m_j, C_j + level2 I)]``, Jensen's lower bound of the mean log-density of
    the noisy image, in closed form. The sharpest directions of a prompt, in which it hardly varies at all, say less
    about an image than a Gaussian makes of them, and drown the others; noise levels them. It is the diffusion
    classifier (Li et al. 2023, eq. 6), whose mean over draws of noise is exact here.

    Parameters
    ----------
    prompts : sequence of p PromptDensity
    rows : array of shape (n, d)
    level2 : float
        Variance of the noise, in the units of standardised pixels.
    leave_out : bool
        Whether the piece of each prompt that fits an image best plays no part, for images that the pieces were made
        of.

    Returns
    -------
    array of shape (n, p), float64, in nats
    """
    given = [Noised(prompt, level2, precision(rows).type) for prompt in prompts]
    return _in_components(given, rows, expected=True, leave_out=leave_out)


def _in_components(prompts: Sequence[Any], rows: AnyArray, *, expected: bool = False, leave_out: bool = False) -> Array:
    """Log-densities of images whose components are found once for all prompts.

    With ``leave_out``, of a prompt that has several pieces the one that fits the image best plays no part.
    """
    out = np.empty((len(rows), len(prompts)))
    for part in chunks(*rows.shape):
        z, rest = coordinates(prompts[0].prompt.encoder, rows[part])
        energy = np.einsum("nd,nd->n", rest, rest)

        def one(prompt: Noised, z: Array = z, energy: Array = energy) -> Array:
            log_density, _ = prompt.evidence_of(z, energy, expected=expected)
            if leave_out and log_density.shape[1] > 1:
                np.put_along_axis(log_density, log_density.argmax(axis=1)[:, None], -np.inf, axis=1)
            total: Array = logsumexp(log_density, axis=1)
            return total

        out[part] = np.stack(in_parallel(one, prompts), axis=1)
    return out


def marginal_log_density(log_density: Array, weights: Array) -> Array:
    """``log sum_c w_c p(x | c)`` from log-densities (n, p), shape (n,)."""
    total: Array = logsumexp(log_density + np.log(weights), axis=1)
    return total
