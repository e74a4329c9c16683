"""LinearDiffusion: the five blocks of a text-to-image diffusion model, wired together as a scikit-learn estimator.

    fit       images, prompts -> encoder_ (image <-> latent), prior_ (latents of a prompt), decoder_ (latent -> image)
    sample    prompts -> plan (what each image is drawn from) -> draw (noise -> latents -> images)

Every step lives in the file of its name and works alone; here they are only connected.
"""

from numbers import Integral, Real
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from . import operators, saving
from .arguments import check_n_samples, read_images, read_run, require_memory_to_draw
from .denoiser.gaussian import LinearDenoiser
from .denoiser.moments import Moments
from .denoiser.prior import Prior
from .draw import draw, draw_paths
from .exceptions import warn
from .fit import Parts, Settings, fit_classes, fit_sampled
from .fit.streaming import add_batch
from .fit.words import fit_words
from .guidance import check_scale
from .image.decoder import Decoder
from .image.format import ImageFormat, check_range
from .image.pca import PCAEncoder
from .noise import SCHEDULES, Schedule, find_schedule
from .plan import choose_components, distinct, index_prompts, plan, read_prompts
from .streams import entropy_of
from .tasks import classify, edit, interpolate, likelihood, restore
from .tasks.classify import BAYES, CalibrationImages, Confidence
from .tasks.density import Densities
from .tasks.restore import Known
from .text.labels import check_prompts
from .text.mixes import each_mix
from .utils.progress import prints_progress
from .utils.types import MOST, AnyArray, Array


def _has_density(model: Any) -> bool:
    if model.training == "sampled":
        raise AttributeError('a density needs training="exact"; this model has training="sampled".')
    return True


def _is_sum(model: Any) -> bool:
    """Whether all that is learned is a sum over images, so that batches add up."""
    for name, needed in (("styles", 1), ("training", "exact"), ("text_encoder", "one-hot")):
        if (value := getattr(model, name)) != needed:
            raise AttributeError(
                f"partial_fit goes with {name}={needed!r}, not {name}={value!r}: only there all that is learned is a "
                f"sum over images. Set {name}={needed!r}, or fit all images at once."
            )
    return True


class LinearDiffusion(
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
    schedule : str or Schedule, default="cosine"
        Noise schedule: "linear", "scaled_linear", "cosine", "sigmoid", "karras", "flow" or "one-step", or one of your
        own. It is read when sampling, so a fitted model serves them all (``set_params(schedule=...)``). With "one-step"
        at fit, latents keep their own scale, as in the article.
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
    encoder_, prior_, decoder_
        What was learned: image <-> latent, latents given a prompt, and latent -> finished image. All else is read off
        them.
    classes_, weights_ : arrays of shape (p,)
        The prompts, sorted, with the dtype of y; and their frequencies in training.
    means_, covariances_ : arrays of shape (p, k) and (p, k, k)
        Mean latent of each prompt, and the covariance of its latents (divided by n), with the ridge; with styles, that
        of all of them together.
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
        Frequencies and mean latents of each prompt's styles; a prompt without styles has one.
    class_noise_std_ : array of shape (d,)
        Standard deviation of the noise on each pixel at which `predict` reads prompts, in the units of X.
    n_images_, n_features_in_ : int
        Images it was fitted on, and pixels of an image, channels included, d.

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

    encoder_: PCAEncoder
    prior_: Prior
    decoder_: Decoder
    n_images_: int
    _moments: Moments | None = None
    _answers: dict[str, Any]

    classes_ = property(attrgetter("prior_.text.prompts"))
    weights_ = property(attrgetter("prior_.weights"))
    means_ = property(attrgetter("prior_.means"))
    covariances_ = property(attrgetter("prior_.covariances"))
    components_ = property(attrgetter("encoder_.components"))
    explained_variance_ratio_ = property(attrgetter("encoder_.ratio"))
    latent_dim_ = property(attrgetter("encoder_.latent_dim"))
    image_shape_ = property(attrgetter("decoder_.image.shape"))
    scaling_factor_ = property(lambda self: self.encoder_.scale / self.decoder_.image.unit)
    style_weights_ = property(lambda self: [self.prior_.shares_of(j) for j in range(len(self.weights_))])
    style_means_ = property(lambda self: [self.prior_.style_means_of(j) for j in range(len(self.weights_))])
    _n_features_out = property(attrgetter("encoder_.latent_dim"))

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "text_encoder": [StrOptions({"one-hot", "words"}), HasMethods(["transform"]), callable],
        "latent_dim": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "standardize": ["boolean"],
        "styles": [Interval(Integral, 1, None, closed="left")],
        "schedule": [StrOptions(set(SCHEDULES)), Schedule],
        "training": [StrOptions({"exact", "sampled"})],
        "n_draws": [Interval(Integral, 1, 1_000_000, closed="both")],
        "ridge": [Interval(Real, 0, MOST, closed="left")],
        "tone": ["boolean"],
        "pixel_range": [StrOptions({"auto"}), tuple, list, None],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        text_encoder: Any = "one-hot",
        latent_dim: int | float = 500,
        standardize: bool = False,
        styles: int = 165,
        schedule: str | Schedule = "cosine",
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
        X = read_images(self, X)
        classes, index = check_prompts(y, len(X))
        settings = self._settings()
        image = ImageFormat.of(X, pixel_range, rescale=settings.unit_is_free)
        rows = image.rows(X)
        given = rows, index, classes, image
        if self.text_encoder != "one-hot":
            if self.training != "exact":
                raise ValueError(
                    f'text_encoder={self.text_encoder!r} goes with training="exact", got training={self.training!r}; '
                    'choose that, or text_encoder="one-hot".'
                )
            parts = fit_words(*given, settings, self.text_encoder)
        elif self.training == "sampled":
            parts = fit_sampled(*given, settings, int(self.styles), self.n_draws, entropy_of(self.random_state))
        else:
            parts = fit_classes(*given, settings, int(self.styles))
        self._moments = None
        return self._take(parts, len(X), CalibrationImages(rows, index) if self.training == "exact" else None)

    @available_if(_is_sum)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more batch of images, as if all batches so far had been fitted at once.

        It is there for models of one Gaussian per prompt: ``styles=1``, exact training, one-hot prompts.

        Parameters
        ----------
        X : array of shape (n, h, w), (n, h, w, channels) or (n, d)
            As in `fit`; all batches of one shape and dtype.
        y : sequence of n prompts, optional
            New prompts may come with any batch.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            With other parameters: clusters of images are no sum over batches.
        ValueError
            If a batch does not go with those before it.

        Warns
        -----
        UserWarning
            If `fit` came before, which keeps no sums: partial_fit starts anew.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> images, y = load_digits().images / 16, load_digits().target
        >>> model = LinearDiffusion(styles=1, latent_dim=30)
        >>> for part in range(0, 1797, 600):
        ...     model = model.partial_fit(images[part : part + 600], y[part : part + 600])
        >>> whole = LinearDiffusion(styles=1, latent_dim=30).fit(images, y)
        >>> bool(np.allclose(model.covariances_, whole.covariances_))
        True
        """
        self._validate_params()
        pixel_range, first = check_range(self.pixel_range), self._moments is None
        if first and self.__sklearn_is_fitted__():
            warn(
                "partial_fit starts anew: fit keeps no sums, nor do saved models, and what was learned is replaced. "
                "Call partial_fit from the first batch on."
            )
        X = read_images(self, X, None if first else self.image_shape_)
        classes, index = check_prompts(y, len(X))
        before = None if first else self.decoder_.image
        parts, self._moments = add_batch(self._moments, before, X, index, classes, pixel_range, self._settings())
        return self._take(parts, int(self._moments.counts.sum()), None)

    def sample(
        self,
        n_samples: int | None = None,
        prompts: Any = None,
        *,
        sampler: Any = None,
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
        sampler : {"exact", "ddpm", "ddim", "euler", "heun", "dpmpp_2m", "one-step"} or Sampler, optional
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
        styles : int or sequence of int, optional
            Which of the prompt's styles: one for all images, or one per image, counted from 0. None draws them as often
            as in training.
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
        scale, schedule = check_scale(guidance_scale, negative_prompts), find_schedule(self.schedule)
        states = random_state, self.random_state
        how = {"guided": scale != 1.0, "of_trajectory": return_trajectory}
        run = read_run(schedule, sampler, n_steps, eta, states, self.prior_, **how)
        check_n_samples(n_samples, ": one for each prompt")
        n_pictures = 1 + (len(run.levels) if return_trajectory else 0)
        require_memory_to_draw(self.prior_, self.decoder_, n_samples, prompts, n_pictures)
        prior = self.prior_.asked(prompts, negative_prompts)
        mixes, mix_of, named = read_prompts(prior, n_samples, prompts, run.entropy)
        negatives = each_mix(negative_prompts, len(mix_of), prior.text, "negative_prompts")
        heaviest = np.array([mix[0][0] for mix in mixes])[mix_of]
        component = choose_components(prior, styles, heaviest, run.entropy)
        away, away_of = distinct(negatives) if negatives else ([None], None)
        planned = plan(prior, self.decoder_, mixes, mix_of, component, away, away_of, scale)
        if not return_trajectory:
            return draw(planned, run), named
        paths = draw_paths(planned, run)
        return paths[-1].copy(), named, paths

    def edit(
        self,
        X: Any,
        prompts: Any,
        strength: float = 0.6,
        *,
        sampler: Any = None,
        n_steps: int | None = None,
        eta: float = 0.0,
        guidance_scale: float = 1.0,
        negative_prompts: Any = None,
        random_state: Any = None,
    ) -> AnyArray:
        """Change images by a prompt: noise them, and let the prompt's denoiser clean them (image-to-image).

        With styles, one of the prompt's is drawn for each noised image, by how likely they make it.

        Parameters
        ----------
        X : array of shape (n, \\*image_shape_) or (n, d)
        prompts : prompt or sequence of n prompts
            Or mixes, as in `sample`.
        strength : float, default=0.6
            From 0, the image as `inverse_transform` gives it, to 1, what `sample` draws. As in diffusers, the last
            ``int(strength * n_steps)`` steps are run; "exact" starts from the level at time ``strength``. Above 0
            images end with the tone curve, as samples do.
        sampler, n_steps, eta, guidance_scale, negative_prompts, random_state
            As in `sample`.

        Returns
        -------
        array of shape (n, \\*image_shape_)
            Of the dtype of the training images.

        Raises
        ------
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        ValueError
            If an argument has a wrong value, or ``strength`` is less than one step.
        """
        rows, strength = self._rows(X), edit.check_strength(strength)
        scale, schedule = check_scale(guidance_scale, negative_prompts), find_schedule(self.schedule)
        run = read_run(
            schedule, sampler, n_steps, eta, (random_state, self.random_state), self.prior_, guided=scale != 1.0
        )
        prior = self.prior_.asked(prompts, negative_prompts)
        mixes = each_mix(prompts, len(rows), prior.text, "prompts", required=True)
        negatives = each_mix(negative_prompts, len(rows), prior.text, "negative_prompts")
        return edit.edit(prior, self.decoder_, rows, mixes, negatives, scale, run, schedule, strength)

    @available_if(_has_density)  # type: ignore[untyped-decorator]
    def interpolate(self, X0: Any, X1: Any, n_images: int = 8, *, prompts: Any) -> AnyArray:
        """Images on the way from one image to another, through noise and prompt alike.

        Each is carried to noise by its prompt's exact flow (of one Gaussian, whatever its styles), the noise is
        interpolated on a sphere and the prompt's code on a line, and carried back.

        Parameters
        ----------
        X0, X1 : arrays of shape image_shape_
        n_images : int, default=8
            Both ends included: they are as `inverse_transform` gives them. In between the tone curve has its share.
        prompts : prompt, or two
            Of both ends, or of each; or mixes, as in `sample`.

        Returns
        -------
        array of shape (n_images, \\*image_shape_)
            Of the dtype of the training images.

        Raises
        ------
        UnknownPromptError
            If a prompt is not one of ``classes_``.
        ValueError
            If an argument has a wrong value.
        """
        n = interpolate.check_count(n_images)
        rows = np.concatenate([self._rows(np.asarray(X)[None]) for X in (X0, X1)])
        prior = self.prior_.asked(prompts)
        mixes = each_mix(prompts, 2, prior.text, "prompts", required=True)
        return interpolate.interpolate(prior, self.decoder_, rows, mixes, n)

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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
        rows, prior, densities = self._rows(X), self.prior_.asked(y), self._densities(y)
        index = None if y is None else index_prompts(prior, len(rows), y)
        return likelihood.log_density(densities, prior.weights, self.decoder_.image, rows, index)

    @available_if(_has_density)  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of images (given their prompts), in nats: what GridSearchCV maximises."""
        return float(np.mean(self.score_samples(X, y)))

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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
        rows, image, prior = self._rows(X), self.decoder_.image, self.prior_.asked(y)
        index = None if y is None else index_prompts(prior, len(rows), y)
        whole = np.asarray(X).dtype.kind in "biu"
        entropy = entropy_of(self.random_state if random_state is None else random_state) if whole else None
        return likelihood.bits_per_dim(self._densities(y), prior.weights, image, rows, index, entropy)

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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
        found: AnyArray = self.classes_[most_likely]
        return found

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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
        restored: AnyArray = out.reshape(np.shape(X))
        return restored

    @available_if(_has_density)  # type: ignore[untyped-decorator]
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
        >>> from linear_diffusion import operators
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
        found: LinearDenoiser = prior.gaussian(((int(prior.text.index([prompt])[0]), 1.0),))
        return found

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
    def class_noise_std_(self) -> Array:
        """Standard deviation of the noise on each pixel at which prompts are read, shape (d,)."""
        deviations: Array = np.sqrt(self._reading().noise_variance) * self.encoder_.std * self.decoder_.image.unit
        return deviations

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
        densities: Densities = self._answers.setdefault("densities", Densities(self.encoder_, prior))
        return densities

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

    def _settings(self) -> Settings:
        return Settings(
            self.latent_dim, self.standardize, self.schedule != "one-step", ridge=float(self.ridge), tone=self.tone
        )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        kept = {name: answer for name, answer in state.get("_answers", {}).items() if name != "densities"}
        return state | {"_answers": kept}  # densities are worked out again where they are needed

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "prior_")
