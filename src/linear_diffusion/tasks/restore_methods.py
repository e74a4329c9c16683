"""Restoration as methods of the estimator: arguments are checked, and `restore` does the work."""

from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import operators
from .._types import MOST, AnyArray, whole
from ..noise import entropy_of
from .fitted import Fitted, is_exact
from .restore import Known, denoise, require_noise, restore


class RestoreMixin(Fitted):
    """Posteriors of images; see `LinearDiffusion`."""

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def denoise(self, X: Any, noise_std: float | None = None, prompts: Any = None, *, exact: bool = False) -> AnyArray:
        """Posterior mean of images, given noisy ones.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
            Images with noise N(0, noise_std^2) on each pixel. Floating images may leave the pixel range.
        noise_std : float, optional
            In the units of X, >= 0. None takes the level under which X is most likely, with the variances that images
            have themselves: of clean images it is next to nothing, and they stay as they are.
        prompts : prompt or sequence of n prompts, optional
            None averages over the prompts, each weighed by how likely it makes the image.
        exact : bool, default=False
            As in `restore`.

        Returns
        -------
        array of the shape and dtype of X

        Examples
        --------
        >>> from linear_diffusion import LinearDiffusion
        >>> from sklearn.datasets import load_digits
        >>> images = load_digits().images / 16
        >>> model = LinearDiffusion(latent_dim=30).fit(images[100:])
        >>> noisy = images[:100] + 0.3 * np.random.default_rng(0).standard_normal((100, 8, 8))
        >>> bool(np.std(model.denoise(noisy, 0.3) - images[:100]) < 0.18)
        True
        """
        check_is_fitted(self)
        require_noise(noise_std, self._image)
        images = self._check_images(X, reset=False)
        out = denoise(self._known(prompts, len(images)), images.reshape(len(images), -1), noise_std, exact=exact)
        return out.reshape(np.shape(X))

    @available_if(is_exact)  # type: ignore[untyped-decorator]
    def restore(
        self,
        Y: Any,
        operator: Any,
        noise_std: float | None = 0.0,
        prompts: Any = None,
        *,
        return_std: bool = False,
        n_samples: int | None = None,
        exact: bool = False,
        random_state: Any = None,
    ) -> Any:
        """Posterior of images, given what a known linear operator and noise left of them.

        Parameters
        ----------
        Y : array of shape (n, ...)
            What was seen of n images, in the shape that the operator leaves, or flat.
        operator : Operator, matrix (m, d), scipy.sparse.linalg.LinearOperator or None
            ``operators.inpaint(mask)``, ``operators.blur(...)``, ``operators.downsample(factor)``,
            ``operators.grayscale()``; or any matrix on flat pixels, channels included; or
            None for whole images.
        noise_std : float, optional
            Of noise N(0, noise_std^2) on each number of Y, in its units, >= 0. At 0 (the default) what was seen holds
            exactly; but whole numbers that an operator mixed from several pixels were rounded, so that they have noise
            of 1/sqrt(12) at least. None takes the level under which Y is most likely.
        prompts : prompt or sequence of n prompts, optional
            None averages over the prompts, each weighed by how likely it makes what was seen.
        return_std : bool, default=False
            Whether to return each pixel's posterior standard deviation too.
        n_samples : int, optional
            Draw so many images for each from the posterior, instead of its mean.
        exact : bool, default=False
            Whether to follow Bayes' rule under the model to the letter. Real images are no draws from the model, and
            by default it is made robust for them: log-densities are multiplied by 0.3 when styles are weighed, and
            with an operator images are taken to have some white noise that the model does not know (5 % of a
            component's mean variance); whole images with noise have 6 % of the variance of all images beside their
            styles, more where a prompt had few images. Means of pixels that a mask hides, without noise, come from the
            twelve styles near what is left, merged into one Gaussian per image. Without styles both are the same, but
            for whole images of prompts with fewer images than pixels.
        random_state : optional
            Of the samples; overrides the constructor's.

        Returns
        -------
        array of shape (n, \\*image_shape_), or (n, d) where Y is flat
            Posterior mean, of the dtype of Y; ``(mean, std)`` with ``return_std``, std in float64; or samples
            (n, n_samples, ...). Means and samples lie within the pixel range, where there is one; floating ones do
            not with ``exact``, nor where Y itself is what was seen of a pixel, without noise.

        Warns
        -----
        UserWarning
            If the answer lies far beyond the pixels of images, with the noise level that would explain Y.

        Raises
        ------
        ValueError
            If an argument has a wrong value, or the operator or Y another size than the model's images.
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        NotEnoughMemoryError
            Before any work, if the operator's matrices would not fit.

        Examples
        --------
        >>> from linear_diffusion import LinearDiffusion, operators
        >>> from sklearn.datasets import load_digits
        >>> images = load_digits().images / 16
        >>> model = LinearDiffusion(latent_dim=30).fit(images[100:])
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:5, 3:6] = True
        >>> restored, std = model.restore(images[:100], operators.inpaint(mask), return_std=True)
        >>> bool(np.all(restored[:, ~mask] == images[:100, ~mask])), restored.shape, std.shape
        (True, (100, 8, 8), (100, 8, 8))
        """
        check_is_fitted(self)
        require_noise(noise_std, self._image)
        if n_samples is not None and not 1 <= whole(n_samples) < MOST:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number >= 1, or None for the mean.")
        if n_samples is not None and return_std:
            raise ValueError("return_std goes with the mean and n_samples with draws; choose one.")
        Y = np.asarray(Y)
        seen = operators.observe(operator, Y, self.image_shape_)
        state = self.random_state if random_state is None else random_state
        found = restore(
            self._known(prompts, len(Y)),
            seen,
            noise_std,
            return_std=return_std,
            n_samples=None if n_samples is None else int(n_samples),
            exact=exact,
            entropy=0 if n_samples is None else entropy_of(state),
        )
        shape = (-1,) if Y.ndim == 2 else self.image_shape_
        shape = (len(Y), *(() if n_samples is None else (n_samples,)), *shape)
        return tuple(part.reshape(shape) for part in found) if return_std else found.reshape(shape)

    def _known(self, prompts: Any, n: int) -> Known:
        """What restoration takes, of n images of given prompts."""
        known = self._at(prompts)
        index = None if prompts is None else known._index_prompts(n, prompts, 0)
        return Known(known._densities(), known.weights_, self._image, self.n_images_, index)
