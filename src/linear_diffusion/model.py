"""LinearDiffusion: the five blocks of a text-to-image diffusion model, wired together as a scikit-learn estimator.

    prompt -> c;   image -> z;   z_t = alpha_t z + sigma_t eps;   (z_t, c) -> eps_hat;   noise -> z_0 -> image

Every step lives in the file of its name and works alone; here they are only connected.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from . import saving, walk
from ._types import MOST, AnyArray, Array, Index, whole
from .calibration import calibrate, match_details, n_draws
from .checks import (
    check_eta,
    check_levels,
    check_prompts,
    check_range,
    warn_of_sampled_training,
    warn_of_single_images,
)
from .clusters import fit_styles
from .compose import Composition, plan
from .denoiser import GaussianDenoiser, LinearDenoiser, RegressionDenoiser
from .detail import DetailCurves, has_details
from .exceptions import NotEnoughMemoryError, count
from .generate import Generator, Run
from .guidance import check_scale
from .image import ImageFormat, PCAEncoder, noise_floor
from .memory import available_memory, readable
from .moments import tone_histograms
from .noise import SCHEDULES, entropy_of
from .progress import prints_progress, tell
from .prompts import Mix, as_given, each_mix, has_mix, heaviest
from .render import Decoder, bytes_to_draw, draw_prompts, draw_styles
from .sampler import SAMPLERS
from .streaming import StreamingMixin
from .styles import Calibration, Styles
from .tasks.methods import TasksMixin
from .text import OneHotEncoder, listed
from .tone import ToneCurves, fit_tone_curves
from .training import Learned, draw_noise, learn, most_components
from .variations import VariationsMixin
from .words import Words, WordsCurves, WordsPrior, asked_for, learn_words

_KINDS = [np.float64, np.float32, np.bool_, *(np.dtype(code) for code in np.typecodes["AllInteger"])]
"""Dtypes of images that are kept; whatever else comes in is read as the first."""


class LinearDiffusion(
    StreamingMixin,
    VariationsMixin,
    TasksMixin,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A text-to-image diffusion model in which every learned part is a linear model, fitted in closed form.

    Parameters
    ----------
    text_encoder : str, callable or transformer, default="one-hot"
        What the model regresses on: "one-hot" gives each prompt its own Gaussian. "words" reads prompts as words ("3
        bold slanted", in any order) and regresses on these and all their products, shrunk as far as left-out prompts
        ask for; it knows unseen combinations of seen words. A transformer of strings to vectors (with ``transform``,
        and perhaps ``fit``), or a callable, is reduced to at most 16 dimensions by principal components. All but
        "one-hot" go with exact training only, and have one Gaussian per prompt.
    latent_dim : int or float, default=500
        Principal components to keep at most; or, between 0 and 1, the share of variance that they must explain.
    standardize : bool, default=False
        Whether to divide each pixel by its standard deviation before the principal components.
    styles : int, default=165
        Linear pieces of a prompt at most: clusters of its images, with a Gaussian each, whose own directions are 16. A
        prompt has no more than one for ten images; 1 is one Gaussian per prompt, which ``latent_dim=144`` serves well.
        The default was chosen by what samples of MNIST and Fashion-MNIST score (``benchmarks/styles.py``): 165 styles
        of rank 16, and 500 components. Only with exact training of one-hot prompts; elsewhere there is one Gaussian per
        prompt.
    schedule : str, default="cosine"
        Noise schedule: "linear", "scaled_linear", "cosine", "sigmoid", "karras", "flow" or "one-step". It is read when
        sampling, so a fitted model serves them all (``set_params(schedule=...)``). With "one-step" at fit, latents keep
        their own scale, as in the article.
    training : {"exact", "sampled"}, default="exact"
        Whether the noise in training is known by its moments, or drawn.
    n_draws : int, default=1
        With ``training="sampled"``: how often noise is drawn for each image.
    ridge : float, default=0.0
        Variance added to every latent dimension of every prompt (latents have a mean variance of 1).
    tone : bool, default=True
        Whether samples end with tone curves and, with styles, detail curves. They need a pixel range.
    pixel_range : "auto", (low, high) or None, default="auto"
        Bounds of pixels. "auto" is (0, 255) for integers within it, (0, 65535) for other integers within that, (0, 1)
        for bool. For floating images (n, h, w[, channels]) it is (0, 1) where they lie within it, (-1, 1) where they
        lie within that and reach one end, and (0, 255) where they lie within that and are whole or reach both ends;
        others have none, which is warned of. Plain floating rows have none, but for whole numbers from 0 to 255.
    random_state : None, int, RandomState or Generator, default=None
        For sampling, and for the noise of sampled training.
    verbose : int, default=0
        1 prints what `fit` is at: its phases, and how many of the prompts are done. It is not saved with a model.

    Attributes
    ----------
    classes_ : array of shape (p,)
        The prompts, sorted, with the dtype of y.
    weights_ : array of shape (p,)
        Frequencies of the prompts in training.
    means_ : array of shape (p, k)
        Mean latent of each prompt.
    covariances_ : array of shape (p, k, k)
        Covariance of each prompt's latents (divided by n), with the ridge.
    components_ : array of shape (k, d)
        Principal components.
    explained_variance_ratio_ : array of shape (k,)
    latent_dim_ : int
        Components that were kept, k.
    scaling_factor_ : float
        From components to latents, which have a mean variance of 1.
    image_shape_ : tuple of int
        Shape of one image as it came in.
    style_weights_, style_means_ : lists of p arrays of shape (s,) and (s, k)
        Frequencies and mean latents of each prompt's styles.
    class_noise_std_ : array of shape (d,)
        Standard deviation of the noise on each pixel at which `predict` reads prompts.
    n_images_ : int
        Images it was fitted on.
    n_features_in_ : int
        Pixels of an image, channels included, d.

    References
    ----------
    "Linear Diffusion", Count Bayesie, April 2023 (the model of `one_shot`).
    Ho, Jain and Abbeel (2020), "Denoising diffusion probabilistic models".

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> model = LinearDiffusion(random_state=0).fit(digits.images / 16, digits.target)
    >>> images, prompts = model.sample(prompts=["7", "7", "3"])
    >>> images.shape, prompts
    ((3, 8, 8), array([7, 7, 3]))
    """

    _mixture: Styles | None = None
    _calibration: Calibration | None = None
    _curves: ToneCurves | None = None
    _details: DetailCurves | None = None
    _regression: RegressionDenoiser | None = None
    _prior: GaussianDenoiser
    scaling_factor_: float

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "text_encoder": [StrOptions({"one-hot", "words"}), HasMethods(["transform"]), callable],
        "latent_dim": [Interval(Integral, 1, None, closed="left"), Interval(Real, 0, 1, closed="neither")],
        "standardize": ["boolean"],
        "styles": [Interval(Integral, 1, None, closed="left")],
        "schedule": [StrOptions(set(SCHEDULES))],
        "training": [StrOptions({"exact", "sampled"})],
        "n_draws": [Interval(Integral, 1, 1_000_000, closed="both")],
        "ridge": [Interval(Real, 0, MOST, closed="left")],
        "tone": ["boolean"],
        "pixel_range": [StrOptions({"auto"}), tuple, list, None],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    _words: Words | None = None

    def __init__(
        self,
        *,
        text_encoder: Any = "one-hot",
        latent_dim: int | float = 500,
        standardize: bool = False,
        styles: int = 165,
        schedule: str = "cosine",
        training: str = "exact",
        n_draws: int = 1,
        ridge: float = 0.0,
        tone: bool = True,
        pixel_range: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.text_encoder = text_encoder
        self.latent_dim = latent_dim
        self.standardize = standardize
        self.styles = styles
        self.schedule = schedule
        self.training = training
        self.n_draws = n_draws
        self.ridge = ridge
        self.tone = tone
        self.pixel_range = pixel_range
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def one_shot(cls, *, latent_dim: int = 144, n_draws: int = 1, random_state: Any = None) -> Self:
        """The article's model: standardised pixels, noise drawn and added once, subtracted once; no tone curve.

        Its samples come from the "one-step" sampler by default.

        Examples
        --------
        >>> LinearDiffusion.one_shot(random_state=0).schedule
        'one-step'
        """
        return cls(
            latent_dim=latent_dim,
            standardize=True,
            styles=1,
            schedule="one-step",
            training="sampled",
            n_draws=n_draws,
            tone=False,
            random_state=random_state,
        )

    @prints_progress
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from images and their prompts, in closed form.

        Parameters
        ----------
        X : array of shape (n, h, w), (n, h, w, channels) or (n, d)
            Images, or plain rows: of integers, bool, float32 or float64, which come out as they came in. float16 is
            read as float32, anything else as float64.
        y : sequence of n prompts, optional
            Strings or labels. None is one prompt, "".

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X or y is not as described, or a parameter has a wrong value.
        NotEnoughMemoryError
            Before any work, with settings that would fit.

        Warns
        -----
        UserWarning
            If prompts have one image each, which is then what is sampled for them; or if sampled training leaves
            ``styles`` unused, or has too few draws for its components.
        """
        self._validate_params()
        pixel_range = check_range(self.pixel_range)
        X = self._check_images(X, reset=True)
        classes, index = check_prompts(y, len(X))
        image = ImageFormat.of(X, pixel_range, rescale=self._rescales())
        rows = image.rows(X)
        if self.text_encoder != "one-hot":
            return self._fit_words(rows, index, classes, image)
        if self.training == "sampled":
            k = most_components(self.latent_dim, *rows.shape)
            warn_of_sampled_training(self.styles, self.n_draws, k, classes, index)
        elif self.ridge == 0:
            warn_of_single_images(classes, index)
        tell(f"components and moments of {len(X):,} images")
        n_styles = int(self.styles) if self.training == "exact" else 1
        entropy = entropy_of(self.random_state) if self.training == "sampled" else 0
        learned = learn(
            rows,
            index,
            classes,
            image,
            self.latent_dim,
            standardize=self.standardize,
            rescale=self.schedule != "one-step",
            n_styles=n_styles,
            n_drawn=n_draws(*rows.shape) if self.tone and image.pixel_range else 0,
            sampled=self.training == "sampled",
        )
        regression = None
        if self.training == "sampled":
            tell("noise, drawn")
            joint = draw_noise(rows, index, classes, learned.encoder, self.n_draws, entropy)
            covariances = joint.covariances
            k = len(learned.encoder.components)
            covariances[:, :k, :k] += self.ridge * np.eye(k)
            regression = RegressionDenoiser(joint.means, covariances)
        self._take(learned, image, len(X), (rows, index) if n_styles > 1 else None)
        self._regression = regression
        self._keep_calibration_images(rows, index)
        return self

    def _take(
        self, learned: Learned, image: ImageFormat, n_images: int, styled: tuple[AnyArray, Index] | None = None
    ) -> None:
        """Take what was learned of all prompts; find styles in images, where they are given, and tone curves."""
        latents = learned.latents
        ridge = self.ridge * np.eye(len(learned.encoder.components))
        prior = GaussianDenoiser.from_covariances(latents.means, latents.covariances + ridge)
        if styled:  # rounded as in a file, which stays small
            prior = replace(prior, basis=prior.basis.astype(np.float32).astype(np.float64))
        self._set_learned(latents.prompts, latents.weights, n_images, image, learned.encoder, prior, learned.residual)
        self._words = self._regression = self._mixture = self._calibration = self._curves = self._details = None
        self._confidence_source = None
        histogram = learned.histogram
        if styled:
            histogram = self._fit_styles(*styled, histogram)
        if self.tone and image.pixel_range:
            tell("tone curves")
            self._curves = fit_tone_curves(self._generator().pixel_mixtures(), histogram, image.tone_range)
            if styled and has_details(image):
                self._details = match_details(self._generator(), *styled, self.weights_, learned.histogram)

    def sample(
        self,
        n_samples: int | None = None,
        prompts: Any = None,
        *,
        sampler: str | None = None,
        n_steps: int | None = None,
        eta: float = 0.0,
        guidance_scale: float = 1.0,
        negative_prompts: Any = None,
        styles: Any = None,
        random_state: Any = None,
        return_trajectory: bool = False,
    ) -> Any:
        """Turn noise into images.

        Parameters
        ----------
        n_samples : int, optional
            How many images. None is one for each listed prompt.
        prompts : prompt or sequence of prompts, optional
            One for all images, or one per image; None draws them as often as in training. A dict from prompts to
            weights that sum to 1 mixes them, such as ``{"3": 0.5, "8": 0.5}``; with styles, the heaviest prompt's
            style is drawn, and mixed with the nearest styles of the others.
        sampler : {"exact", "ddpm", "ddim", "euler", "heun", "dpmpp_2m", "one-step"}, optional
            None is "exact", the limit of infinitely many steps; "one-step" for that schedule; and "ddim" after sampled
            training, which knows no exact map, or with guidance, which has none.
        n_steps : int, optional
            Steps of the sampler; by default 1000 for "ddpm", 50 for the others, and 1 for schedule "one-step". "exact"
            takes it only to say how many pictures a trajectory has.
        eta : float, default=0.0
            For "ddim": the share of DDPM's noise, from 0 to 1.
        guidance_scale : float, default=1.0
            How far to go from the unconditional denoiser to the prompt's and beyond: 1 is no guidance, more is
            more typical of the prompt and less diverse (Ho and Salimans 2022). Above 1 the guess of the image keeps the
            contrast of the prompt's own (Lin et al. 2024), so that 1 to 3 look good, and with styles 5;
            `research.guided` is the rule without that.
        negative_prompts : prompt or sequence of prompts, optional
            What to be guided away from, one for all images or one per image, mixes included; None is the Gaussian of
            all training images.
        styles : int, sequence of int, or "mixture", optional
            Which of the prompt's styles: one for all images, or one per image, counted from 0.
            None draws them as often as in training. "mixture" draws none: a step sampler is guided by the exact
            denoiser of all the prompt's styles together, which is not linear, and slower.
        random_state : optional
            Overrides the constructor's. Image i depends on it, on i and on its prompt, not on how many are drawn; its
            style also on how many images of its prompt come before it.
        return_trajectory : bool, default=False
            Whether to run the loop and keep what it passes through. It ends at the same images as without.

        Returns
        -------
        images : array of shape (n, \\*image_shape_)
            Of the dtype of the training images.
        prompts : array of shape (n,)
            With the dtype of ``classes_``; an object array, with the dicts as given, where there is one.
        trajectory : array of shape (n_steps + 1, n, \\*image_shape_)
            Only with ``return_trajectory``: from noise to ``images``, which are its last entry.

        Raises
        ------
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        ValueError
            If an argument has a wrong value.

        Warns
        -----
        GuidanceWarning
            If guidance leads samples further from their prompt's mean than 10 times the variance of training.
        """
        check_is_fitted(self)
        self._validate_params()
        scale = check_scale(guidance_scale, negative_prompts)
        name = self._choose_sampler(sampler, guided=scale != 1.0)
        levels = check_levels(name, SCHEDULES[self.schedule], n_steps, return_trajectory)
        check_eta(eta, name)
        entropy = entropy_of(self.random_state if random_state is None else random_state)
        if n_samples is not None and not 1 <= whole(n_samples) < MOST:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number >= 1, or None: one for each prompt.")
        mixture = isinstance(styles, str) and styles == "mixture"
        self._require_memory(n_samples, prompts, len(levels) if return_trajectory or mixture else 0)
        if self._words is not None:  # for the prompts at hand, a model with one Gaussian each
            if prompts is None:
                prompts = self.classes_[self._index_prompts(n_samples, None, entropy)]
            return self._words_model(prompts, guidance_scale, negative_prompts).sample(
                n_samples,
                prompts,
                sampler=sampler,
                n_steps=n_steps,
                eta=eta,
                guidance_scale=guidance_scale,
                negative_prompts=negative_prompts,
                styles=styles,
                random_state=entropy,
                return_trajectory=return_trajectory,
            )
        index = self._index_prompts(n_samples, heaviest(prompts, self._text), entropy)
        negatives = each_mix(negative_prompts, len(index), self._text, "negative_prompts")
        drawn, run = self._choose_styles(styles, index, name, entropy), Run(name, levels, eta, entropy)
        if has_mix(prompts) or scale != 1.0 or (self._regression and run.noisy):
            mixes: list[Mix] = [((j, 1.0),) for j in index.tolist()]
            named = self.classes_[index]
            if has_mix(prompts):
                mixes, named = each_mix(prompts, len(index), self._text, "prompts"), as_given(prompts, named)
            composition, piece = self._compose(
                mixes, index if drawn is None else drawn, negatives, scale, drawn is None
            )
            if not return_trajectory:
                return walk.images(composition, run, piece), named
            paths = walk.paths(composition, run, piece)
            return paths[-1].copy(), named, paths
        if drawn is not None and not return_trajectory:
            return self._generator().images(run, drawn), self.classes_[index]
        paths = self._generator().paths(run, index if drawn is None else drawn, mixture=drawn is None)
        images = paths[-1].copy()
        return (images, self.classes_[index], paths) if return_trajectory else (images, self.classes_[index])

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
        rows = self._check_rows(X)
        return self._encoder.encode(rows)

    def inverse_transform(self, Z: Any) -> AnyArray:
        """Decode latents (n, k) to images, within the pixel range but without the tone curve."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], estimator=self)
        if Z.shape[1] != self.latent_dim_:
            raise ValueError(f"Z has {Z.shape[1]} columns; latents have {self.latent_dim_} (latent_dim_).")
        return self._image.images(self._image.cast(self._encoder.decode(Z)))

    def denoiser(self, prompt: Any) -> LinearDenoiser:
        """The linear denoiser of one prompt, at any noise level, on latents: one Gaussian, whatever its styles."""
        check_is_fitted(self)
        known = self._at([prompt])
        j = int(known._text.index([prompt])[0])
        return known._regression[j] if known._regression else known._prior[j]

    @property
    def style_weights_(self) -> list[Array]:
        """Frequencies of each prompt's styles; a prompt without styles has one."""
        if self._mixture is None:
            return [np.ones(1) for _ in self.classes_]
        return [self._mixture.shares[self._mixture.of(j)] for j in range(len(self.classes_))]

    @property
    def style_means_(self) -> list[Array]:
        """Mean latents (s, k) of each prompt's styles; decode them with `inverse_transform`."""
        if self._mixture is None:
            return [mean[None] for mean in self.means_]
        return [self._mixture.means[self._mixture.of(j)] @ self._mixture.basis[j].T for j in range(len(self.classes_))]

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
        saving.save_model(self, Path(folder))

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
        return saving.load_model(cls, Path(folder))

    @property
    def covariances_(self) -> Array:
        """Covariance of each prompt's latents, shape (p, k, k)."""
        return self._prior[:].covariances

    @property
    def _n_features_out(self) -> int:
        """Of `get_feature_names_out`."""
        return self.latent_dim_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_prior")

    def _fit_styles(self, rows: AnyArray, index: Index, histogram: AnyArray) -> AnyArray:
        """Find styles and calibrate them; the histograms that their tone curves aim at."""
        image, z = self._image, self._encoder.encode(rows)
        self._mixture, labels = fit_styles(
            z,
            index,
            len(self.classes_),
            int(self.styles),
            floor=noise_floor(self._encoder) * self._encoder.scale**2,
            ridge=self.ridge,
        )
        if image.pixel_range:
            group = self._mixture.group[labels]
            histogram = tone_histograms(rows, group, int(group.max()) + 1, image.tones, image.n_channels)
            if self.tone:
                self._calibration = calibrate(self._generator(), z, labels, self.weights_, histogram)
        return histogram

    def _fit_words(self, rows: AnyArray, index: Index, classes: AnyArray, image: ImageFormat) -> Self:
        """Learn regressions on a code of the prompts (docs/mathematics.md, "Words")."""
        if self.training != "exact":
            raise ValueError(
                f'text_encoder={self.text_encoder!r} goes with training="exact", got training={self.training!r}; '
                'choose that, or text_encoder="one-hot".'
            )
        tell(f"components and regressions on words, of {len(rows):,} images")
        words, learned = learn_words(
            self.text_encoder,
            rows,
            index,
            classes,
            image,
            self.latent_dim,
            standardize=self.standardize,
            rescale=self.schedule != "one-step",
            tones=self.tone,
            ridge=float(self.ridge),
        )
        self._set_words(words, classes, learned.latents.weights, len(rows), image, learned.encoder, learned.residual)
        self._keep_calibration_images(rows, index)
        return self

    def _set_words(
        self,
        words: Words,
        classes: AnyArray,
        weights: Array,
        n_images: int,
        image: ImageFormat,
        encoder: PCAEncoder,
        residual: Array,
    ) -> None:
        """Take what was learned (or loaded) of a code of words."""
        self._set_learned(
            classes,
            weights,
            n_images,
            image,
            encoder,
            cast(GaussianDenoiser, WordsPrior(words, words.prompts)),
            residual,
        )
        self._words = words
        self._regression = self._mixture = self._calibration = self._curves = self._details = None
        self._confidence_source = None

    def _words_model(self, prompts: Any, guidance_scale: float = 1.0, negative_prompts: Any = None) -> Self:
        """What draws given prompts of words."""
        if prompts is None:
            raise ValueError("prompts=None leaves open what to draw; give one prompt, or one per image.")
        if guidance_scale != 1.0 and negative_prompts is None:
            raise ValueError(
                f"guidance_scale={guidance_scale!r} with text_encoder={self.text_encoder!r} goes with "
                "negative_prompts, the prompts that samples are led away from; give these."
            )
        return self._at(prompts, negative_prompts)

    def _at(self, prompts: Any, negatives: Any = None) -> Self:
        """For a code of words and given prompts: a model that knows these, one Gaussian each, seen or not."""
        if self._words is None or prompts is None:
            return self
        names, classes = asked_for(prompts, self._text)
        if negatives is not None:
            names, classes = asked_for([*names, *asked_for(negatives, self._text)[0]], self._text)
        words, model = self._words, copy(self)
        prior, image = WordsPrior(words, names), self._image
        model._set_learned(
            classes,
            np.full(len(names), 1 / len(names)),
            self.n_images_,
            self._image,
            self._encoder,
            cast(GaussianDenoiser, prior),
            np.clip(words.residual(prior.codes), 0.0, None),
        )
        model._words = None
        if words.tones is not None and image.pixel_range is not None:
            model._curves = cast(ToneCurves, WordsCurves(prior, self._encoder, image.tone_range))
        return model

    def _set_learned(
        self,
        classes: AnyArray,
        weights: Array,
        n_images: int,
        image: ImageFormat,
        encoder: PCAEncoder,
        prior: GaussianDenoiser,
        residual: Array,
    ) -> None:
        """Take what was learned (or loaded), and show it under scikit-learn's names."""
        self.classes_, self.weights_, self.n_images_ = classes, weights, n_images
        self._text, self._image, self._encoder = OneHotEncoder(classes), image, encoder
        self._prior, self._residual, self._moments = prior, residual, None
        self.means_ = prior.means
        self.components_ = encoder.components
        self.explained_variance_ratio_ = encoder.ratio
        self.latent_dim_ = len(encoder.components)
        self.scaling_factor_ = encoder.scale / image.unit
        self.image_shape_ = image.shape

    def _has_tone(self) -> bool:
        return self._curves is not None or (self._words is not None and self._words.tones is not None)

    def _check_images(self, X: Any, *, reset: bool) -> AnyArray:
        """Images as an array of a known kind, checked as scikit-learn does."""
        X = X if hasattr(X, "ndim") else _as_array(X)
        if isinstance(X, np.ndarray) and X.dtype.kind in "iuf":  # the order of bytes is no kind of number
            X = X.astype(np.float32 if X.dtype == np.float16 else X.dtype.newbyteorder("="), copy=False)
        if not reset and X.ndim > 1 and X.shape == self.image_shape_:
            raise ValueError(f"X is one image, of shape {X.shape}; give several, or one as images[[0]].")
        if X.ndim < 3:
            return validate_data(self, X, reset=reset, dtype=_KINDS)  # type: ignore[no-any-return]
        if X.ndim > 4:
            raise ValueError(f"X has {X.ndim} axes; give images (n, h, w) or (n, h, w, channels), or rows (n, d).")
        if X.ndim == 4 and X.shape[1] in (1, 3, 4) and X.shape[3] > 4:
            raise ValueError(
                f"X has shape {X.shape}, which has its channels before its rows; here they come last, "
                "(n, h, w, channels): give X.transpose(0, 2, 3, 1)."
            )
        X = check_array(X, dtype=_KINDS, allow_nd=True, estimator=self)
        if X.size == 0:
            raise ValueError(f"X has shape {X.shape}: there is no pixel in it.")
        if reset:
            self.n_features_in_ = int(np.prod(X.shape[1:]))
            self.__dict__.pop("feature_names_in_", None)
        elif X.shape[1:] != self.image_shape_:
            raise ValueError(f"X has images of shape {X.shape[1:]}; the model was fitted on {self.image_shape_}.")
        return X  # type: ignore[no-any-return]

    def _check_rows(self, X: Any) -> AnyArray:
        check_is_fitted(self)
        return self._image.rows(self._check_images(X, reset=False))

    def _rescales(self) -> bool:
        """Whether latents do not depend on the units of pixels."""
        return bool(self.schedule != "one-step" or self.standardize)

    def _choose_sampler(self, sampler: str | None, guided: bool = False) -> str:
        if sampler is None:
            if self.schedule == "one-step":
                return "one-step"
            return "ddim" if self._regression or guided else "exact"
        if not isinstance(sampler, str) or sampler not in ("exact", *SAMPLERS):
            raise ValueError(f"sampler={sampler!r} must be one of {', '.join(map(repr, ('exact', *SAMPLERS)))}.")
        if sampler == "exact" and self._regression:
            raise ValueError('sampler="exact" needs training="exact"; this model was fitted with training="sampled".')
        if sampler == "exact" and guided:
            raise ValueError(
                'sampler="exact" has no closed form with guidance, whose two branches do not share eigenvectors; leave '
                'it out, or choose steps with sampler="ddim".'
            )
        return sampler

    def _index_prompts(self, n: int | None, prompts: Any, entropy: int) -> Index:
        """Prompt position of each image to be."""
        if prompts is None:
            return draw_prompts(entropy, self.weights_, int(n or 1))
        index = self._text.index(listed(prompts))
        if len(index) == 0:
            raise ValueError("prompts is empty; give one prompt, one per image, or None to draw them.")
        if n is None or n == len(index):
            return index
        if len(index) == 1:
            return np.repeat(index, n)
        raise ValueError(f"{len(index)} prompts do not go with {n} images; give one prompt, or one per image.")

    def _require_memory(self, n: int | None, prompts: Any, n_levels: int) -> None:
        """Refuse more images than memory holds, before anything is drawn for them."""
        n_prompts = len(listed(prompts)) if hasattr(prompts, "__len__") else 0
        n_images = int(n or n_prompts or 1)
        different = 1 if n_prompts == 1 else min(len(self.classes_), n_images)
        needed = bytes_to_draw(n_images, n_levels + 1, self._encoder, self._image, different, self._mixture)
        available = available_memory()
        if available is not None and needed > available:
            raise NotEnoughMemoryError(
                f"drawing {n_images} images of shape {self.image_shape_} takes {readable(needed)}, and "
                f"{readable(available)} are available; sample in parts, with another random_state each."
            )

    def _choose_styles(self, styles: Any, index: Index, name: str, entropy: int) -> Index | None:
        """Position of each image's style among all styles (its prompt, where there are none); None is the mixture."""
        if isinstance(styles, str) and styles == "mixture":
            if name == "exact":
                raise ValueError('styles="mixture" needs a step sampler; "exact" draws from the same mixture as it is.')
            return None
        if styles is None:
            return index if self._mixture is None else draw_styles(entropy, self._mixture, index)
        try:
            numbers = np.asarray(styles)
        except ValueError:  # lists of unlike lengths
            numbers = np.empty(0)
        if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (len(index),)):
            raise ValueError(
                f'styles={styles!r} must be a style number, one per image, "mixture" or None to draw them.'
            )
        first, counts = self._style_ranges()
        wrong = np.flatnonzero((numbers < 0) | (numbers >= counts[index]))
        if len(wrong):
            prompt, most = self.classes_.tolist()[index[wrong[0]]], counts[index[wrong[0]]]
            given = int(np.broadcast_to(numbers, index.shape)[wrong[0]])
            raise ValueError(
                f"styles={given} is not among the {count(int(most), 'style')} of prompt {prompt!r}: 0 to {most - 1}."
            )
        chosen: Index = first[index] + numbers
        return chosen

    def _style_ranges(self) -> tuple[Index, Index]:
        """First style and number of styles of each prompt."""
        owner = np.arange(len(self.classes_)) if self._mixture is None else self._mixture.owner
        counts = np.bincount(owner, minlength=len(self.classes_))
        return np.cumsum(counts) - counts, counts

    def _without_curves(self, prompts: Any) -> Self:
        """What draws the same images of given prompts as they are before the curves, which come last."""
        model = copy(self._at(prompts))
        model._curves = model._details = None
        return model

    def _generator(self) -> Generator:
        styles = self._drawn_styles() if self._mixture else None
        return Generator(
            self._prior, self._regression, styles, Decoder(self._encoder, self._image, self._curves, self._details)
        )

    def _drawn_styles(self) -> Styles:
        """The styles that samples are drawn from."""
        styles = cast(Styles, self._mixture).sharpened()
        return styles.widened(self._calibration) if self._calibration else styles

    def _compose(
        self,
        mixes: Sequence[Mix],
        drawn: Index,
        negatives: Sequence[Mix],
        scale: float = 1.0,
        mixture: bool = False,
    ) -> tuple[Composition, Index]:
        """The pieces that images are drawn from, and the piece of each."""
        if mixture and any(len(mix) > 1 for mix in mixes):
            raise ValueError('styles="mixture" is of one prompt; a mixed prompt draws styles, leave styles out.')
        generator = self._generator()
        pieces, piece = plan(mixes, drawn, None if mixture else generator.styles, negatives)
        return Composition(generator, self.weights_, self.classes_.tolist(), pieces, scale, mixture), piece


def _as_array(X: Any) -> AnyArray:
    """A list of images, or of rows, as one array."""
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({np.shape(image) for image in X})
        raise ValueError(
            f"X has images of shapes {', '.join(map(str, shapes[:3]))}; bring all to one shape first."
        ) from None
