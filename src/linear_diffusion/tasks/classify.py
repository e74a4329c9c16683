"""Classify: how likely each prompt is, given an image, with a temperature that training images choose.

    p(c | x) ~ w_c p(x + eps | c)^t

Real images are not drawn from the density, so Bayes' rule is too sure of itself: it counts hundreds of pixels as if
each were independent evidence. A temperature t below 1 (Guo et al. 2017) and noise on the image make up for it. Both
are chosen to make the prompts of some training images as probable as possible. These images have shaped the
components of the density. So, for each image, the component of each prompt that fits it best is left out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from ..utils.arrays import Kept, kept, not_negative
from ..utils.types import AnyArray, Array, Index
from .density import Densities, PromptDensity
from .likelihood import class_log_densities

NOISE_LEVELS = (0.0, 0.1, 0.2, 0.4, 0.8)
"""Variances of the noise to choose from, as shares of the mean variance of a component (benchmarks/styles.py, "a
temperature, no noise", "more of both to choose from")."""
TEMPERATURES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
"""Factors of log-densities to choose from (benchmarks/styles.py, "noise, no temperature", "more of both to choose
from")."""


@dataclass(frozen=True)
class Confidence(Kept):
    """How prompts are read off images: with noise on these (of standardised pixels), and a temperature."""

    noise_variance: float = kept("", not_negative)
    temperature: float = kept("", lambda t: bool(0 < t <= 1))


BAYES = Confidence(0.0, 1.0)
"""Bayes' rule as it is."""


class CalibrationImages:
    """Some training images, kept until a prompt is read. Sampling never reads prompts, so fitting does not wait for the
    choice. A saved model keeps the choice, not the images. `rows` (n, d): training images; `index` (n,): prompt of
    each."""

    def __init__(self, rows: AnyArray, index: Index) -> None:
        self.rows, self.index = rows, index
        self._chosen: Confidence | None = None

    def confidence(self, prompts: Callable[[], Iterable[Sequence[PromptDensity]]], weights: Array) -> Confidence:
        """What `choose_temperature` finds by these images, worked out once."""
        if self._chosen is None:
            self._chosen = choose_temperature(prompts(), weights, self.rows, self.index)
        return self._chosen


def choose_temperature(
    blocks: Iterable[Sequence[PromptDensity]], weights: Array, rows: AnyArray, index: Index
) -> Confidence:
    """The noise and the temperature under which the images' own prompts are most probable. `blocks`: of p prompts,
    block after block, which need not be there at the same time; `weights` (p,); `rows` (n, d): images; `index` (n,):
    prompt of each."""
    best, chosen, found = np.inf, BAYES, []
    for prompts in blocks:
        variances = np.array(NOISE_LEVELS) * prompts[0].encoder.variances.mean()
        found.append([class_log_densities(prompts, rows, float(v), leave_out=True) for v in variances])
    for variance, parts in zip(variances, zip(*found, strict=True), strict=True):
        log_density = np.hstack(parts)  # (n, p)
        for t in TEMPERATURES:
            log_probability = log_softmax(t * log_density + np.log(weights), axis=1)
            loss = -float(log_probability[np.arange(len(index)), index].mean())
            if loss < best:
                best, chosen = loss, Confidence(float(variance), t)
    return chosen


def prompt_probabilities(densities: Densities, weights: Array, rows: AnyArray, confidence: Confidence) -> Array:
    """How likely each prompt is, given an image (n, d), shape (n, p); see `LinearDiffusion.predict_proba`."""
    variance, t = confidence.noise_variance, confidence.temperature
    found = [class_log_densities(block, rows, variance) for block in densities.blocks()]
    return softmax(t * np.hstack(found) + np.log(weights), axis=1)
