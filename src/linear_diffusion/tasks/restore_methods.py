"""Restoration as methods of the estimator: denoise and restore.

Arguments are checked, images become rows, posteriors become images; see `restore` for what is worked out.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import operators
from ..arguments import read_images
from ..exceptions import NotEnoughMemoryError, warn
from ..image.format import limits
from ..plan import index_prompts
from ..streams import entropy_of
from ..utils.groups import by_group
from ..utils.memory import available_memory, readable
from ..utils.types import MOST, AnyArray, Array, Index, number, whole
from .density import PromptDensity, population, unseen
from .restore import Posterior, estimate_noise, require_memory, roomy

_BEYOND = 0.1
"""How far beyond the range of images restored pixels may lie (root mean square), as a share of it."""


def is_exact(model: Any) -> bool:
    """Whether a model has a density."""
    if model.training == "sampled":
        raise AttributeError('a density needs training="exact"; this model has training="sampled".')
    return True


class RestoreMixin:
    """Posteriors of images; see `LinearDiffusion`."""

    encoder_: Any
    prior_: Any
    decoder_: Any
    image_shape_: Any
    n_images_: int
    weights_: Any
    random_state: Any
    _densities: Any

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
        self._check_noise(noise_std)
        images = read_images(self, X, self.image_shape_)
        seen = operators.Observation(np.arange(len(images)), None, images.reshape(len(images), -1), None)
        out = self._restore([seen], noise_std, prompts, exact, images.dtype, lambda p, _: p.mean())
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
        self._check_noise(noise_std)
        if n_samples is not None and not 1 <= whole(n_samples) < MOST:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number >= 1, or None for the mean.")
        if n_samples is not None and return_std:
            raise ValueError("return_std goes with the mean and n_samples with draws; choose one.")
        Y = np.asarray(Y)
        if n_samples is not None:
            self._require_draws(len(Y) * int(n_samples))
        seen = operators.observe(operator, Y, self.image_shape_)
        shape = (-1,) if Y.ndim == 2 else self.image_shape_
        dtype = Y.dtype.newbyteorder("=") if Y.dtype.kind in "iu" or Y.dtype == np.float32 else np.dtype(np.float64)
        std = np.zeros((len(Y), int(np.prod(self.image_shape_)))) if return_std else None
        state = self.random_state if random_state is None else random_state
        entropy = entropy_of(state) if n_samples is not None else 0

        def answer(posterior: Posterior, members: Index) -> Array:
            if n_samples is not None:
                return posterior.samples(int(n_samples), entropy, members)
            if std is None:
                return posterior.mean()
            mean, deviation = posterior.mean_and_std()
            std[members] = deviation * self.decoder_.image.unit
            return mean

        out = self._restore(seen, noise_std, prompts, exact, dtype, answer)
        out = out.reshape(len(Y), *(() if n_samples is None else (n_samples,)), *shape)
        return out if std is None else (out, std.reshape(len(Y), *shape))

    def _restore(
        self,
        seen: list[operators.Observation],
        noise_std: float | None,
        prompts: Any,
        exact: bool,
        dtype: Any,
        answer: Callable[[Posterior, Index], Array],
    ) -> AnyArray:
        """An answer about all images, rows (n, ...) or draws (n, n_samples, ...), in a dtype and within its range."""
        n = sum(len(group.members) for group in seen)
        prior = self.prior_.asked(prompts)
        index = None if prompts is None else index_prompts(prior, n, prompts)
        models, out = self._densities(prompts).all(), None
        for group in seen:
            if group.matrix is not None or (noise_std != 0.0 and np.ptp(self.encoder_.std)):
                require_memory(models if index is None else models[:1], group.y.shape[1])
        image = self.decoder_.image
        zeros = np.full(image.n_pixels, image.origin)
        everything = population(models, prior.weights)
        beside = unseen(everything, self.n_images_)
        everything = everything.with_noise(2 * beside)  # images differ in how much of them is new
        whole = models if exact else roomy(models, self.n_images_ * prior.weights, beside)
        for group in seen:
            inner = image.inner(group.y, zeros if group.matrix is None else group.matrix @ zeros)
            likely = partial(estimate_noise, everything, group.matrix, inner)
            level = likely() if noise_std is None else float(noise_std) / image.unit
            level = max(level, group.rounding / image.unit)
            each = whole if group.matrix is None else models
            for chosen, weights, rows in self._by_group(each, index, group.members):
                y, shown = group.y[rows], inner[rows]
                if group.matrix is None and level == 0.0:
                    found: AnyArray = y.astype(np.float64)
                else:
                    posterior = Posterior(chosen, weights, group.matrix, shown, level)
                    found = image.outer(answer(posterior if exact else posterior.robust(), group.members[rows]))
                    if noise_std is not None and group.matrix is not None:
                        self._warn_of_misfit(found, level, likely)
                    if not exact and image.pixel_range is not None:
                        found = np.clip(found, *image.pixel_range)
                if group.kept is not None and level == 0.0:
                    found[..., group.kept] = y if found.ndim == 2 else y[:, None]
                if out is None:
                    out = np.empty((n, *found.shape[1:]), dtype)
                out[group.members[rows]] = self._as(dtype, found)
        return np.asarray(out)

    def _warn_of_misfit(self, found: AnyArray, level: float, explained: Callable[[], float]) -> None:
        """Warn where restored pixels lie far beyond those of images: what was seen has more noise than was said."""
        usual = 4 * np.sqrt(self.encoder_.total_variance / len(self.encoder_.mean)) * self.encoder_.std
        image, mean = self.decoder_.image, self.encoder_.mean
        low, high = image.pixel_range or (image.outer(mean - usual), image.outer(mean + usual))
        width = np.broadcast_to(np.subtract(high, low), found.shape[1:])
        beyond = np.divide(found - np.clip(found, low, high), width, out=np.zeros_like(found), where=width > 0)
        if np.sqrt((beyond**2).mean()) > _BEYOND and (likely := explained()) > level:
            warn(
                f"restored pixels reach from {found.min():.3g} to {found.max():.3g}, far beyond those of images: Y has "
                f"more noise than {level * image.unit:.2g}; noise_std={likely * image.unit:.2g} would explain it."
            )

    def _by_group(
        self, models: list[PromptDensity], index: Index | None, members: Index
    ) -> Iterator[tuple[list[PromptDensity], Array, Index]]:
        """Which prompts may be, their weights, and for which of the images."""
        if index is None:
            yield models, self.weights_, np.arange(len(members))
            return
        for j, rows in by_group(index[members]):
            yield [models[j]], np.ones(1), np.arange(len(members))[rows]

    def _as(self, dtype: Any, pixels: Array) -> AnyArray:
        """Restored pixels in a dtype: integers within the range, or what the dtype holds; floats as they are."""
        if np.dtype(dtype).kind in "biu":
            pixels = np.rint(pixels.clip(*limits(dtype)))
            pixels = (
                pixels if self.decoder_.image.pixel_range is None else pixels.clip(*self.decoder_.image.pixel_range)
            )
        return pixels.astype(dtype)

    def _require_draws(self, n: int) -> None:
        available, needed = available_memory(), 8 * n * self.encoder_.components.shape[1]
        if available is not None and needed > available:
            raise NotEnoughMemoryError(
                f"{n:,} draws (n_samples for each image) take {readable(needed)}, and {readable(available)} are "
                "available; ask for fewer, or for fewer images at once."
            )

    def _check_noise(self, noise_std: float | None) -> None:
        most = self.decoder_.image.farthest
        if noise_std is not None and not 0 <= number(noise_std) < most:
            raise ValueError(
                f"noise_std={noise_std!r} must be a number from 0 to {most:g}, in the units of the images, or None to "
                "estimate it."
            )
