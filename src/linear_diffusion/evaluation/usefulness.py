"""Usefulness: do classifiers that learn from samples do well on real images?

    train on samples, test on real            against            train on as many real images, test on real

And for who has few images: a generator fitted on these few alone, its samples added to them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..utils.types import AnyArray, Index
from .features import Judge


class Generator(Protocol):
    """What can be asked for samples."""

    def sample(self, n_samples: int | None = None, prompts: Any = None, *, random_state: Any = None) -> Any:
        """Images and prompts."""


Fit = Callable[[AnyArray, AnyArray], Generator]
"""Fits a new generator on images and their prompts."""


@dataclass(frozen=True)
class Usefulness:
    """Accuracy on real test images of classifiers trained on small sets."""

    n_each: int
    """Real images per prompt, at most."""
    real: float
    """Trained on these real images alone."""
    samples: float
    """On samples alone, of a generator that was fitted on these images."""
    both: float
    """On both, the real ones repeated so that half of what is seen is real."""


def classifier_accuracy(
    images: AnyArray, prompts: AnyArray, test_images: AnyArray, test_prompts: AnyArray, *, seed: int = 0
) -> float:
    """Accuracy on a test set of a classifier (one hidden layer of 128) trained on the images given.

    References
    ----------
    Ravuri and Vinyals (2019), "Classification accuracy score for conditional generative models".
    Shmelkov, Schmid and Alahari (2018), "How good is my GAN?", section 3: GAN-train.

    Examples
    --------
    >>> x = np.random.default_rng(0).random((80, 4)); y = np.where(x[:, 0] > 0.5, "1", "0")
    >>> classifier_accuracy(x[:60], y[:60], x[60:], y[60:]) > 0.7
    True
    """
    if len(np.unique(prompts)) < 2:
        return float(np.mean(test_prompts == prompts[0]))
    judge = Judge((128,), seed).fit(images, prompts)
    return float(np.mean(judge.predict(test_images) == test_prompts))


def take_each(prompts: AnyArray, n_each: int, seed: int) -> Index:
    """Positions of n_each random images of every prompt, or all where there are fewer; sorted.

    Examples
    --------
    >>> take_each(np.array(["a", "b", "a"]), 2, seed=0)
    array([0, 1, 2])
    """
    order = np.random.default_rng(seed).permutation(len(prompts))
    return np.sort(np.concatenate([order[prompts[order] == prompt][:n_each] for prompt in np.unique(prompts)]))


def small_set(
    fit: Fit,
    train: tuple[AnyArray, AnyArray],
    test: tuple[AnyArray, AnyArray],
    n_each: int,
    *,
    n_samples: int = 200,
    seed: int = 0,
) -> Usefulness:
    """What samples add to a small set of real images.

    Parameters
    ----------
    fit : callable
        ``fit(images, prompts) -> generator``. It sees the small set alone, and so do the classifiers.
    train : (images, prompts)
        Where the small set is drawn from.
    test : (images, prompts)
        Real images that are in no training set.
    n_each : int
        Real images per prompt, or all that it has.
    n_samples : int, default=200
        Samples per prompt.
    seed : int, default=0
        Of the small set, the samples and the classifiers.

    Returns
    -------
    Usefulness
    """
    chosen = take_each(train[1], n_each, seed)
    images, prompts = train[0][chosen], train[1][chosen]
    asked = np.repeat(np.unique(prompts), n_samples)
    drawn, _ = fit(images, prompts).sample(prompts=asked, random_state=seed)
    times = max(round(len(asked) / len(prompts)), 1)
    both = np.concatenate([np.tile(images, (times, *[1] * (images.ndim - 1))), drawn])
    asked_both = np.concatenate([np.tile(prompts, times), asked])
    return Usefulness(
        n_each=n_each,
        real=classifier_accuracy(images, prompts, *test, seed=seed),
        samples=classifier_accuracy(drawn, asked, *test, seed=seed),
        both=classifier_accuracy(both, asked_both, *test, seed=seed),
    )
