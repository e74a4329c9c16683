"""Likelihood: log p(x | prompt), exactly, and what follows from it by Bayes' rule.

    log p(x | c) = log sum_j w_j N(x; m_j, C_j),        p(c | x) = w_c p(x | c) / sum_b w_b p(x | b)

Images have a density before the tone curve (DESIGN 3.7), with or without noise added to them; see `density`. What is
learned beside it, from the images that it was fitted on: at which level of noise prompts are read best, and how
unlikely an image can be without being an outlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp

from .._types import AnyArray, Array, Index
from ..moments import precision
from .density import PromptDensity, chunks, coordinates
from .posterior import Noised, condition

LEVELS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Levels of noise for reading prompts that `calibrate` tries: variances, as shares of that of a component."""
N_QUANTILES = 1001
"""Quantiles of training scores that are kept: evenly spaced, the least and the largest among them."""
TEMPERATURES = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)
"""What the log-density is multiplied by for the probability of a prompt; `calibrate` tries each."""
_CALIBRATED_ON = 600
"""Training images that `calibrate` looks at."""


@dataclass(frozen=True)
class Calibration:
    """What is learned from the density of training images.

    Parameters
    ----------
    level2 : float
        Variance of the noise at which prompts are read, in the units of standardised pixels.
    temperature : float
        What the log-density is multiplied by before Bayes' rule (Guo et al. 2017).
    scores : array of shape (N_QUANTILES,)
        Quantiles of the log-density of training images, increasing.
    """

    level2: float
    temperature: float
    scores: Array

    def threshold(self, contamination: float) -> float:
        """The log-density that a share of the training images falls below."""
        return float(np.interp(contamination, np.linspace(0, 1, len(self.scores)), self.scores))


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
    given = [condition(prompt, None, noise_std, precision(rows).type) for prompt in prompts]
    if all(isinstance(prompt, Noised) for prompt in given):
        return _in_components(given, rows)
    out = np.empty((len(rows), len(prompts)))  # noise is not alike in all directions of standardised pixels
    for j, prompt in enumerate(given):
        for part in chunks(len(rows)):
            out[part, j] = logsumexp(prompt.evidence(rows[part])[0], axis=1)
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
    for part in chunks(len(rows)):
        z, rest = coordinates(prompts[0].prompt.encoder, rows[part])
        energy = np.einsum("nd,nd->n", rest, rest)
        for j, prompt in enumerate(prompts):
            log_density, _ = prompt.evidence_of(z, energy, expected=expected)
            if leave_out and log_density.shape[1] > 1:
                np.put_along_axis(log_density, log_density.argmax(axis=1)[:, None], -np.inf, axis=1)
            out[part, j] = logsumexp(log_density, axis=1)
    return out


def marginal_log_density(log_density: Array, weights: Array) -> Array:
    """``log sum_c w_c p(x | c)`` from log-densities (n, p), shape (n,)."""
    total: Array = logsumexp(log_density + np.log(weights), axis=1)
    return total


def calibrate(prompts: Sequence[PromptDensity], weights: Array, rows: AnyArray, index: Index) -> Calibration:
    """Choose how prompts are read, and keep quantiles of the log-density.

    Both from several hundred of the training images, chosen by a fixed seed. The level of noise and the temperature are
    those under which the images' own prompts are most probable, when of each prompt the piece that fits an image best
    is left out: an image that had its part in a piece says little about new ones there.

    Parameters
    ----------
    prompts : sequence of p PromptDensity
    weights : array of shape (p,)
    rows : array of shape (n, d)
        Training images.
    index : array of int, shape (n,)
        Prompt of each.
    """
    some = np.random.default_rng(0).permutation(len(rows))[:_CALIBRATED_ON]
    rows, index = rows[some], index[some]
    scores = marginal_log_density(log_densities(prompts, rows), weights)
    quantiles = np.quantile(scores, np.linspace(0, 1, N_QUANTILES))
    best, level2, temperature = np.inf, 0.0, 1.0
    for level in np.array(LEVELS if len(prompts) > 1 else ()) * prompts[0].encoder.variances.mean():
        log_density = class_log_densities(prompts, rows, float(level), leave_out=True)
        for t in TEMPERATURES:
            found = log_softmax(t * log_density + np.log(weights), axis=1)
            loss = -float(found[np.arange(len(rows)), index].mean())
            if loss < best:
                best, level2, temperature = loss, float(level), t
    return Calibration(level2, temperature, quantiles)
