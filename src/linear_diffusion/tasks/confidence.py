"""Confidence: what a density is not told by its own formulas, from the images that it was fitted on.

    p(c | x) ~ w_c p(x + eps | c)^t        outlier: log p(x) below a quantile

Real images are not drawn from the density, so that Bayes' rule is too sure of itself: it counts hundreds of pixels as
if each told something new. A temperature t below 1 (Guo et al. 2017) and a level of noise make up for it. They are
chosen by what they are for, the prompts of training images. Of each prompt the piece that fits an image best is left
out meanwhile: an image that had its part in a piece says little about new ones there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from .._types import AnyArray, Array, Index
from .density import PromptDensity
from .likelihood import class_log_densities, log_densities, marginal_log_density

LEVELS = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Levels of noise for reading prompts: variances, as shares of that of a component."""
TEMPERATURES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
"""What log-densities are multiplied by."""
N_QUANTILES = 1001
"""Quantiles of training scores that are kept: evenly spaced, the least and the largest among them."""
_N_SCORED, _N_READ = 1000, 200
"""Training images that are scored, and whose prompts are read."""


@dataclass(frozen=True)
class Confidence:
    """What is learned from training images and the density.

    Parameters
    ----------
    level2 : float
        Variance of the noise at which prompts are read, in the units of standardised pixels.
    prompt_temperature : float
        What log-densities of prompts are multiplied by.
    scores : array of shape (N_QUANTILES,)
        Quantiles of the log-density of training images, increasing.
    """

    level2: float
    prompt_temperature: float
    scores: Array

    def threshold(self, contamination: float) -> float:
        """The log-density that a share of the training images falls below."""
        return float(np.interp(contamination, np.linspace(0, 1, len(self.scores)), self.scores))


class Witnesses:
    """Several hundred training images, kept until someone asks how sure a density may be.

    Sampling never asks, so fitting does not wait for it. A saved model keeps the answer, not the images.

    Parameters
    ----------
    rows : array of shape (n, d)
        Training images.
    index : array of int, shape (n,)
        Prompt of each.
    """

    def __init__(self, rows: AnyArray, index: Index) -> None:
        some = np.random.default_rng(0).permutation(len(rows))[:_N_SCORED]
        self.rows, self.index = rows[some], index[some]
        self._found: Confidence | None = None

    def tell(self, prompts: Callable[[], Iterable[Sequence[PromptDensity]]], weights: Array) -> Confidence:
        """The confidence that these images give a density, worked out once."""
        if self._found is None:
            self._found = gauge(prompts(), weights, self.rows, self.index)
        return self._found


def gauge(blocks: Iterable[Sequence[PromptDensity]], weights: Array, rows: AnyArray, index: Index) -> Confidence:
    """Choose a level and a temperature, and keep quantiles, by training images.

    Parameters
    ----------
    blocks : iterable of sequences of PromptDensity
        Of p prompts, block after block, which need not be there at the same time.
    weights : array of shape (p,)
    rows : array of shape (n, d)
        Training images.
    index : array of int, shape (n,)
        Prompt of each.
    """
    whole, read = [], []
    for prompts in blocks:
        levels = np.array(LEVELS if len(weights) > 1 else ()) * prompts[0].encoder.variances.mean()
        whole.append(log_densities(prompts, rows))
        read.append([class_log_densities(prompts, rows[:_N_READ], float(v), leave_out=True) for v in levels])
    scores = marginal_log_density(np.hstack(whole), weights)
    at_levels = [np.hstack(found) for found in zip(*read, strict=True)]
    level2, temperature = choose_reading(levels, at_levels, weights, index[:_N_READ])
    return Confidence(level2, temperature, np.quantile(scores, np.linspace(0, 1, N_QUANTILES)))


def choose_reading(levels: Array, log_densities: Sequence[Array], weights: Array, index: Index) -> tuple[float, float]:
    """Level and temperature under which the images' own prompts are most probable; of one prompt, 0 and 1."""
    best, chosen = np.inf, (0.0, 1.0)
    for level, log_density in zip(levels, log_densities, strict=True):
        for t in TEMPERATURES:
            found = log_softmax(t * log_density + np.log(weights), axis=1)
            loss = -float(found[np.arange(len(index)), index].mean())
            if loss < best:
                best, chosen = loss, (float(level), t)
    return chosen
