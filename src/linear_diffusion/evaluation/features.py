"""Judges: small classifiers trained on real images, whose last hidden layer gives features.

    image --pixels in 0..1--> h_1 = relu(x W_1 + b_1) --> ... --> h = features --> softmax(h W + b) = prompt

A fixed recipe and a fixed seed, no downloads. Figures in such features hold for that judge alone; that is why the
report puts real images beside each.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..utils.threads import one_thread
from ..utils.types import AnyArray, Array

MOST = 20_000
"""Images that a judge is trained on at most."""
_STEPS = 1_500
"""Steps of training, about."""


def pixel_bounds(images: AnyArray) -> tuple[float, float]:
    """What becomes 0 and what becomes 1: 0 and 255 for uint8, else the extremes (0 and 1 where all lie within).

    Examples
    --------
    >>> pixel_bounds(np.zeros((1, 2, 2), np.uint8)), pixel_bounds(np.array([[-1.0, 0.5]]))
    ((0.0, 255.0), (-1.0, 1.0))
    """
    if images.dtype == np.uint8:
        return 0.0, 255.0
    return min(float(images.min()), 0.0), max(float(images.max()), 1.0)


def to_rows(images: AnyArray, bounds: tuple[float, float]) -> Array:
    """Images (n, ...) as float32 rows (n, d), 0 and 1 at the bounds."""
    low, high = bounds
    rows = images.reshape(len(images), -1).astype(np.float32)
    rows -= np.float32(low)
    rows /= np.float32(high - low)
    return rows


class Judge:
    """A small network on pixels that tells prompts apart.

    Parameters
    ----------
    hidden : sequence of int, default=(256, 128)
        Widths of its hidden layers; the last is the number of features.
    seed : int, default=0
        Of its start weights, its order of training, and its choice of images where there are too many.

    References
    ----------
    Kingma and Ba (2015), "Adam"; scikit-learn's MLPClassifier does the training.

    Examples
    --------
    >>> x = np.random.default_rng(0).random((60, 8)); prompts = np.where(x[:, 0] > 0.5, "high", "low")
    >>> judge = Judge((16, 4)).fit(x, prompts)
    >>> judge.features(x).shape, bool(np.mean(judge.predict(x) == prompts) > 0.9)
    ((60, 4), True)
    """

    def __init__(self, hidden: Sequence[int] = (256, 128), seed: int = 0) -> None:
        self.hidden = tuple(hidden)
        self.seed = seed

    def fit(self, images: AnyArray, prompts: AnyArray) -> Self:
        """Train on real images (n, ...) and their prompts (n,); on at most 20,000, chosen by the seed."""
        from sklearn.neural_network import MLPClassifier

        self.bounds = pixel_bounds(images)
        chosen = np.random.default_rng(self.seed).permutation(len(images))[:MOST]
        batch = min(max(len(chosen) // 10, 1), 200)
        steps_an_epoch = -(-len(chosen) // batch)
        network = MLPClassifier(
            self.hidden, batch_size=batch, max_iter=max(_STEPS // steps_an_epoch, 1), tol=0.0, random_state=self.seed
        )
        network.n_iter_no_change = network.max_iter  # the recipe is a number of steps, reached without a warning
        self.network: Any = _fit_quietly(network, to_rows(images[chosen], self.bounds), prompts[chosen])
        return self

    def features(self, images: AnyArray) -> Array:
        """What the last hidden layer makes of images, (n, hidden[-1]), float32."""
        h = to_rows(images, self.bounds)
        for weights, bias in zip(self.network.coefs_[:-1], self.network.intercepts_[:-1], strict=True):
            h = np.maximum(h @ weights + bias, 0)
        return h

    @property
    def prompts(self) -> AnyArray:
        """What it can read."""
        return self.network.classes_

    def predict(self, images: AnyArray) -> AnyArray:
        """The prompt that it reads off each image, (n,)."""
        return self.network.predict(to_rows(images, self.bounds))


class Components:
    """Principal components as features, where there is one prompt and so nothing to train a judge on.

    Parameters
    ----------
    n_features : int, default=64
        At most.

    Examples
    --------
    >>> Components(2).fit(np.eye(5), None).features(np.eye(5)).shape
    (5, 2)
    """

    def __init__(self, n_features: int = 64) -> None:
        self.n_features = n_features

    def fit(self, images: AnyArray, prompts: AnyArray | None) -> Self:
        """Learn from real images (n, ...)."""
        from sklearn.decomposition import PCA

        self.bounds = pixel_bounds(images)
        rows = to_rows(images[:MOST], self.bounds)
        self.pca = PCA(min(self.n_features, *rows.shape), svd_solver="covariance_eigh").fit(rows)
        return self

    def features(self, images: AnyArray) -> Array:
        """Principal components of images, (n, n_features)."""
        return self.pca.transform(to_rows(images, self.bounds))


def _fit_quietly(network: Any, rows: Array, prompts: AnyArray) -> Any:
    """Train; that it stops after a number of steps is meant, and so not worth a warning.

    On one core: the products of a batch are so small that threads wait for each other longer than they work, on busy
    cores twenty times as long.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(rows, prompts)
