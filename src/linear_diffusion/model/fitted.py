"""Fitted: what an encoder, a prior and a decoder can answer, whatever fitted them.

    transform            image <-> latent            score_samples, bits_per_dim     log p(x | c)
    predict              p(c | x)                    denoise, restore                p(x | y)

A method checks its arguments and calls a function of `tasks`. How a model is fitted and sampled is in `model`.
"""

from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from .. import operators, saving
from ..arguments import check_n_samples, read_images
from ..denoiser.gaussian import LinearDenoiser
from ..denoiser.prior import Prior
from ..fit import Parts
from ..image.decoder import Decoder
from ..image.pca import PCAEncoder
from ..plan import index_prompts
from ..tasks import classify, likelihood, restore
from ..tasks.classify import BAYES, CalibrationImages, Confidence
from ..tasks.density import Densities
from ..tasks.restore import Known
from ..utils.streams import entropy_of
from ..utils.types import AnyArray, Array


def has_density(model: Any) -> bool:
    """Whether a model knows likelihoods and posteriors, which the noise of sampled training does not tell."""
    if model.training == "sampled":
        raise AttributeError('a density needs training="exact"; this model has training="sampled".')
    return True


class FittedModel(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """What a fitted model is, and answers; see `LinearDiffusion`."""

    training: str
    random_state: Any
    encoder_: PCAEncoder
    prior_: Prior
    decoder_: Decoder
    n_images_: int
    _answers: dict[str, Any]

    classes_ = property(attrgetter("prior_.text.prompts"))
    weights_ = property(attrgetter("prior_.weights"))
    means_ = property(attrgetter("prior_.means"))
    covariances_ = property(attrgetter("prior_.covariances"))
    pooled_share_ = property(attrgetter("prior_.pooled_shares"))
    components_ = property(attrgetter("encoder_.components"))
    explained_variance_ratio_ = property(attrgetter("encoder_.ratio"))
    latent_dim_ = property(attrgetter("encoder_.latent_dim"))
    image_shape_ = property(attrgetter("decoder_.image.shape"))
    scaling_factor_ = property(lambda self: self.encoder_.scale / self.decoder_.image.unit)
    style_weights_ = property(lambda self: [self.prior_.shares_of(j) for j in range(len(self.weights_))])
    style_means_ = property(lambda self: [self.prior_.style_means_of(j) for j in range(len(self.weights_))])
    _n_features_out = property(attrgetter("encoder_.latent_dim"))

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Log-density of images, in nats: exact, with the prompt's styles.

        It is of real numbers, before the curves that finish samples, and not the probability of an image of bytes.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
        y : sequence of n prompts, optional
            The density given these prompts; None is the mixture over prompts as frequent as in training.

        Returns
        -------
        array of shape (n,), float64
        """
        rows, prior, densities = self._rows(X), self.prior_.asked(y), self._densities(y)
        index = None if y is None else index_prompts(prior, len(rows), y)
        return likelihood.log_density(densities, prior.weights, self.decoder_.image, rows, index)

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of images (given their prompts), in nats: what GridSearchCV maximises."""
        return float(np.mean(self.score_samples(X, y)))

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def bits_per_dim(self, X: Any, y: Any = None, *, random_state: Any = None) -> Array:
        """Negative log-density of images in bits per pixel (and channel), pixels measured in grey levels.

        Bytes are made real numbers by uniform noise on [-1/2, 1/2] (Theis et al. 2016, section 3.1), whose variance the
        density takes up, so that the mean is an upper bound of what a lossless code takes. Floating images are taken as
        they are, a level being 1/255 of the pixel range.

        The density is of real numbers, before the curves that finish samples. So these figures compare models of this
        kind with each other, and not with those that give whole grey levels a probability (discrete codes).

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
        rows, image, prior = self._rows(X), self.decoder_.image, self.prior_.asked(y)
        index = None if y is None else index_prompts(prior, len(rows), y)
        whole = np.asarray(X).dtype.kind in "biu"
        entropy = entropy_of(self.random_state if random_state is None else random_state) if whole else None
        return likelihood.bits_per_dim(self._densities(y), prior.weights, image, rows, index, entropy)

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """How likely each prompt is, given an image: by Bayes' rule, with prompts as frequent as in training.

        Prompts are read at a level of noise (``class_noise_std_``), as diffusion classifiers do (Li et al. 2023), and a
        temperature. Both are chosen on training images, when they are first asked for; see `tasks.classify`.
        `score_samples` has neither.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)

        Returns
        -------
        array of shape (n, p), float64
            In the order of ``classes_``.
        """
        rows = self._rows(X)
        return classify.prompt_probabilities(self._densities(), self.weights_, rows, self._reading())

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> AnyArray:
        """The most likely prompt of each image; see `predict_proba`.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)

        Returns
        -------
        array of shape (n,)
        """
        most_likely = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most_likely]

    @available_if(has_density)  # type: ignore[untyped-decorator]
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
        restore.require_noise(noise_std, self.decoder_.image)
        images = read_images(self, X, self.image_shape_)
        out = restore.denoise(
            self._known(prompts, len(images)), images.reshape(len(images), -1), noise_std, exact=exact
        )
        return out.reshape(np.shape(X))

    @available_if(has_density)  # type: ignore[untyped-decorator]
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
            If the operator or Y has another size than the model's images.
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
        restore.require_noise(noise_std, self.decoder_.image)
        check_n_samples(n_samples, " for the mean")
        if n_samples is not None and return_std:
            raise ValueError("return_std goes with the mean and n_samples with draws; choose one.")
        Y = np.asarray(Y)
        seen = operators.observe(operator, Y, self.image_shape_)
        state = self.random_state if random_state is None else random_state
        found = restore.restore(
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

    def transform(self, X: Any) -> Array:
        """Encode images to latents.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)

        Returns
        -------
        array of shape (n, k)
            float64 for float64 images, float32 for others.
        """
        rows = self._rows(X)
        return self.encoder_.encode(rows)

    def inverse_transform(self, Z: Any) -> AnyArray:
        """Decode latents (n, k) to images, within the pixel range but without the tone curve."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], estimator=self)
        if Z.shape[1] != self.latent_dim_:
            raise ValueError(f"Z has {Z.shape[1]} columns; latents have {self.latent_dim_} (latent_dim_).")
        return self.decoder_.image.images(self.decoder_.decode(Z))

    def denoiser(self, prompt: Any) -> LinearDenoiser:
        """The linear denoiser of one prompt, at any noise level, on latents: one Gaussian, whatever its styles."""
        check_is_fitted(self)
        prior = self.prior_.asked([prompt])
        return prior.gaussian(((int(prior.text.index([prompt])[0]), 1.0),))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model to a folder: ``config.json``, ``model-<digest>.safetensors`` and a card, ``README.md``.

        ``from_pretrained`` gives bit-equal samples. A model that was there is replaced at once: whoever reads
        meanwhile, or after a process was killed, finds the old model or the new one. Other files are left alone.

        Raises
        ------
        ValueError
            Before anything is written, if the model could not be read back.
        OSError
            Naming the file that cannot be written; the old model stays.
        """
        check_is_fitted(self)
        saving.save_model(self, self._reading() if self.prior_.has_density else None, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Read a model that `save_pretrained` wrote; every shape, dtype and number is checked, and no code runs.

        Raises
        ------
        ModelFileError
            Naming the file and what is wrong with it.
        NotEnoughMemoryError
            If the model does not fit in memory.
        """
        model, parts, confidence = saving.load_model(cls, Path(folder))
        return model._take(parts, model.n_images_, confidence)

    @property
    def class_noise_std_(self) -> Array:
        """Standard deviation of the noise on each pixel at which prompts are read, shape (d,)."""
        return np.sqrt(self._reading().noise_variance) * self.encoder_.std * self.decoder_.image.unit

    def _take(self, parts: Parts, n_images: int, confidence: Confidence | CalibrationImages | None) -> Self:
        """Take what was learned, or loaded."""
        self.encoder_, self.prior_, self.decoder_ = parts
        # What is worked out to answer has a dict of its own, since an answer leaves an estimator's attributes alone.
        self.n_images_, self._answers = n_images, {"confidence": confidence}
        return self

    def _rows(self, X: Any) -> AnyArray:
        """Images as rows of the model's numbers."""
        check_is_fitted(self)
        return self.decoder_.image.rows(read_images(self, X, self.image_shape_))

    def _densities(self, prompts: Any = None) -> Densities:
        """The densities of given prompts' pixels; those of training are kept, with what they work out."""
        prior = self.prior_.asked(prompts)
        if prior is not self.prior_:
            return Densities(self.encoder_, prior)
        return self._answers.setdefault("densities", Densities(self.encoder_, prior))

    def _known(self, prompts: Any, n: int) -> Known:
        """What restoration takes, of n images of given prompts."""
        prior = self.prior_.asked(prompts)
        index = None if prompts is None else index_prompts(prior, n, prompts)
        return Known(self._densities(prompts).all(), prior.weights, self.decoder_.image, self.n_images_, index)

    def _reading(self) -> Confidence:
        """How prompts are read off images; chosen when first asked for."""
        found = self._answers["confidence"]
        if isinstance(found, CalibrationImages):
            found = self._answers["confidence"] = found.confidence(self._densities().blocks, self.weights_)
        return found or BAYES

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        kept = {name: answer for name, answer in state.get("_answers", {}).items() if name != "densities"}
        return state | {"_answers": kept}  # densities are worked out again where they are needed

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "prior_")
