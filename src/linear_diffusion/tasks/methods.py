"""The tasks as methods of the estimator: arguments are checked, images become rows, answers become images.

    likelihood      score_samples, score, bits_per_dim
    classes         predict, predict_proba
    restoration     denoise, restore

Restoration is in `restore_methods`; what is worked out is in the modules beside.
"""

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.utils.metaestimators import available_if

from .._types import AnyArray, Array, Index
from ..noise import DEQUANTISE, entropy_of, stream
from . import likelihood
from .confidence import CalibrationImages, Confidence
from .fitted import is_exact
from .restore_methods import RestoreMixin


class TasksMixin(RestoreMixin):
    """What a fitted model can answer about images; see `LinearDiffusion`."""

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Log-density of images, in nats: exact, with the prompt's styles.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
        y : sequence of n prompts, optional
            The density given these prompts; None is the mixture over prompts as frequent as in training.

        Returns
        -------
        array of shape (n,), float64
        """
        return self._log_density(self._check_rows(X), y)

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of images (given their prompts), in nats: what GridSearchCV maximises."""
        return float(np.mean(self.score_samples(X, y)))

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def bits_per_dim(self, X: Any, y: Any = None, *, random_state: Any = None) -> Array:
        """Negative log-density of images in bits per pixel (and channel), pixels measured in grey levels.

        Bytes are made real numbers by uniform noise on [-1/2, 1/2] (Theis et al. 2016, section 3.1), whose variance the
        density takes up, so that the mean is an upper bound of what a lossless code takes. Floating images are taken as
        they are, a level being 1/255 of the pixel range.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
        y : sequence of n prompts, optional
            As in `score_samples`.
        random_state : optional
            Of the uniform noise; overrides the constructor's.

        Returns
        -------
        array of shape (n,), float64

        Raises
        ------
        ValueError
            If the model has no pixel range, which levels are measured by.
        """
        image, rows = self._image, self._check_rows(X)
        if image.pixel_range is None:
            raise ValueError("bits_per_dim needs to know what a grey level is; fit with pixel_range=(low, high).")
        low, high = image.pixel_range
        level, noise_std = (high - low) / 255, 0.0
        if np.asarray(X).dtype.kind in "biu":
            entropy = entropy_of(self.random_state if random_state is None else random_state)
            level, noise_std = 1.0, 12**-0.5
            noise = stream(entropy, DEQUANTISE).random(rows.shape, dtype=np.float32) - np.float32(0.5)
            rows = rows + noise / np.float32(image.unit)
        nats: Array = -self._log_density(rows, y, noise_std) / rows.shape[1] - np.log(level)
        return np.asarray(nats / np.log(2))

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """How likely each prompt is, given an image: by Bayes' rule, with prompts as frequent as in training.

        Prompts are read at a level of noise (``class_noise_std_``), as diffusion classifiers do (Li et al. 2023), and a
        temperature. Both are chosen on training images, when they are first asked for; see `tasks.confidence`.
        `score_samples` has neither.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)

        Returns
        -------
        array of shape (n, p), float64
            In the order of ``classes_``.
        """
        likely: Array = softmax(self._read_prompts(X), axis=1)
        return likely

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> AnyArray:
        """The most likely prompt of each image; see `predict_proba`.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)

        Returns
        -------
        array of shape (n,)
        """
        likeliest = self._read_prompts(X).argmax(axis=1)
        found: AnyArray = self.classes_[likeliest]
        return found

    @property
    def class_noise_std_(self) -> Array:
        """Standard deviation of the noise on each pixel at which prompts are read, in the units of X; shape (d,)."""
        variance = (self._confidence or Confidence()).noise_variance
        deviations: Array = np.sqrt(variance) * self._encoder.std * self._image.unit
        return deviations

    def _log_density(self, rows: AnyArray, y: Any, noise_std: float = 0.0) -> Array:
        noise_std = noise_std / self._image.unit
        if y is None:
            found = [likelihood.log_densities(block, rows, noise_std) for block in self._density_blocks()]
            return self._of_pixels(likelihood.marginal_log_density(np.hstack(found), self.weights_))
        known = self._at(y)
        index, out = known._index_prompts(len(rows), y, 0), np.empty(len(rows))
        models = (density for block in known._density_blocks() for density in block)
        for j, density in enumerate(models):
            members = np.flatnonzero(index == j)
            if len(members):
                out[members] = likelihood.log_densities([density], rows[members], noise_std)[:, 0]
        return self._of_pixels(out)

    def _of_pixels(self, log_density: Array) -> Array:
        """The log-density of images from that of the numbers that the model works with."""
        of_pixels: Array = log_density - self._image.n_pixels * np.log(self._image.unit)
        return of_pixels

    def _read_prompts(self, X: Any) -> Array:
        """Log-probability of the prompts given each image, less a constant; shape (n, p)."""
        rows = self._check_rows(X)
        confidence = self._confidence or Confidence()
        found = [
            likelihood.class_log_densities(block, rows, confidence.noise_variance) for block in self._density_blocks()
        ]
        joint: Array = confidence.temperature * np.hstack(found) + np.log(self.weights_)
        return joint

    def _keep_calibration_images(self, rows: AnyArray, index: Index) -> None:
        """Keep some training images, by which `predict_proba` chooses a temperature."""
        self._confidence_source = CalibrationImages(rows, index) if self.training == "exact" else None
