"""LinearDiffusion: the five blocks of a text-to-image diffusion model, wired together as a scikit-learn estimator.

    fit       images, prompts -> encoder_ (image <-> latent), prior_ (latents of a prompt), decoder_ (latent -> image)
    sample    prompts -> plan (what each image is drawn from) -> draw (noise -> latents -> images)

Every step lives in the file of its name and works alone; here they are only connected. How a model is fitted is in
`training`, what a fitted one answers in `fitted`.
"""

from inspect import isfunction
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..arguments import check_n_samples, read_run, require_memory_to_draw
from ..draw import Run, draw, draw_paths
from ..guidance import check_scale
from ..noise import find_schedule
from ..plan import Plan, choose_components, distinct, plan, read_prompts
from ..tasks import edit, interpolate
from ..text.mixes import each_mix
from ..utils.types import AnyArray
from .fitted import FittedModel, has_density
from .training import Trained


class LinearDiffusion(Trained):
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
    svd_solver : {"auto", "full", "randomized"}, default="auto"
        How principal components are found, with scikit-learn's names: exactly, from the products of all pixels (or of
        all images, where these are fewer); or by a randomised sketch, in five passes over the images, which takes far
        less memory and time where images are large. "auto" is "full" up to 4,096 pixels, channels included.
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
    pooled_share_ : array of shape (p,)
        With styles, prompts that have fewer images than latents have dimensions lean on each other: which share of a
        prompt's covariance is that of all such prompts, the mean being the prompt's own. It is 1 for a prompt with one
        image and falls with every image more. It is 0 for all other prompts, and for those that have several styles,
        which lean on the styles next to them. With ``styles=1`` it is 0, or 1 for all where a covariance for each would
        take more than 1 GB, so that they share one.
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
    moments_ : Moments
        The sums over images that it was made from; only after `partial_fit` and `from_moments`.
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
            Which of the prompt's styles, from 0: one for all images, or one per image. None draws as in training.
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

        Warns
        -----
        GuidanceWarning
            If guidance leads samples further from their prompt's mean than 10 times the variance of training.
        """
        planned, run, named = self._planned(
            n_samples,
            prompts,
            sampler=sampler,
            n_steps=n_steps,
            eta=eta,
            guidance_scale=guidance_scale,
            negative_prompts=negative_prompts,
            styles=styles,
            random_state=random_state,
            of_trajectory=return_trajectory,
        )
        if not return_trajectory:
            return draw(planned, run), named
        paths = draw_paths(planned, run)
        return paths[-1].copy(), named, paths

    def _planned(
        self,
        n_samples: int | None,
        prompts: Any,
        *,
        sampler: Any = None,
        n_steps: int | None = None,
        eta: float = 0.0,
        guidance_scale: float = 1.0,
        negative_prompts: Any = None,
        styles: Any = None,
        random_state: Any = None,
        of_trajectory: bool = False,
        at_once: int | None = None,
    ) -> tuple[Plan, Run, AnyArray]:
        """What each image of a call is drawn from, how, and its prompt; so many images will be drawn at once."""
        check_is_fitted(self)
        self._validate_params()
        scale, schedule = check_scale(guidance_scale, negative_prompts), find_schedule(self.schedule)
        states = random_state, self.random_state
        how = {"guided": scale != 1.0, "of_trajectory": of_trajectory}
        run = read_run(schedule, sampler, n_steps, eta, states, self.prior_, **how)
        check_n_samples(n_samples, ": one for each prompt")
        n_pictures = 1 + (len(run.levels) if of_trajectory else 0)
        require_memory_to_draw(self.prior_, self.decoder_, n_samples, prompts, n_pictures, at_once)
        prior = self.prior_.asked(prompts, negative_prompts)
        mixes, mix_of, named = read_prompts(prior, n_samples, prompts, run.entropy)
        negatives = each_mix(negative_prompts, len(mix_of), prior.text, "negative_prompts")
        heaviest = np.array([mix[0][0] for mix in mixes])[mix_of]
        component = choose_components(prior, styles, heaviest, run.entropy)
        away, away_of = distinct(negatives) if negatives else ([None], None)
        return plan(prior, self.decoder_, mixes, mix_of, component, away, away_of, scale), run, named

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
        array of shape (n, \\*image_shape_), of the dtype of the training images
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

    @available_if(has_density)  # type: ignore[untyped-decorator]
    def interpolate(self, X0: Any, X1: Any, n_images: int = 8, *, prompts: Any) -> AnyArray:
        """Images on the way from one image to another, through noise and prompt alike.

        Each is carried to noise by its prompt's exact flow (of one Gaussian, whatever its styles), the noise is
        interpolated on a sphere and the prompt's code on a line, and carried back.

        Parameters
        ----------
        X0, X1 : arrays of shape ``image_shape_``
        n_images : int, default=8
            Both ends included: they are as `inverse_transform` gives them. In between the tone curve has its share.
        prompts : prompt, or two
            Of both ends, or of each; or mixes, as in `sample`.

        Returns
        -------
        array of shape (n_images, \\*image_shape_), of the dtype of the training images
        """
        n = interpolate.check_count(n_images)
        rows = np.concatenate([self._rows(np.asarray(X)[None]) for X in (X0, X1)])
        prior = self.prior_.asked(prompts)
        mixes = each_mix(prompts, 2, prior.text, "prompts", required=True)
        return interpolate.interpolate(prior, self.decoder_, rows, mixes, n)


def _named_for_users(known: type) -> None:
    """Let Python's own errors name methods by the class that users know: LinearDiffusion.fit(), not Trained.fit()."""
    for base in (Trained, FittedModel):
        for name, method in vars(base).items():
            function = getattr(method, "fn", method)
            while isfunction(function):
                function.__qualname__ = f"{known.__name__}.{name}"
                function = getattr(function, "__wrapped__", None)


_named_for_users(LinearDiffusion)
