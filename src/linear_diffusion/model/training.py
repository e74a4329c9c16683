"""Training: images and prompts -> encoder_, prior_, decoder_; from arrays, or batch by batch.

    fit            all images at once, as an array
    fit_batches    a stream that is read several times: any number of images, also on Dask's workers
    partial_fit    batches that come once, for models that are sums over images
    from_moments   the same, from the sums alone

What is learned, and in which steps, is in `fit`.
"""

from hashlib import sha256
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from ..arguments import read_images
from ..denoiser.moments import Moments
from ..exceptions import warn
from ..fit import fit_classes, fit_sampled, warn_of_single_images
from ..fit.batches import BatchSource, OnError
from ..fit.checkpoint import Checkpoint
from ..fit.encoder import Settings
from ..fit.source import ArraySource, Source
from ..fit.sums import SUMS, fit_moments, is_sum
from ..fit.words import fit_words
from ..image.format import ImageFormat, check_range
from ..noise import SCHEDULES, Schedule
from ..tasks.classify import CalibrationImages
from ..text.labels import check_prompts
from ..utils.progress import prints_progress
from ..utils.streams import entropy_of
from ..utils.types import MOST
from .fitted import FittedModel


def is_streamed(model: Any) -> bool:
    """Whether all that is learned are sums in passes over the images."""
    for name, needed in (("training", "exact"), ("text_encoder", "one-hot")):
        if (value := getattr(model, name)) != needed:
            raise AttributeError(
                f"fit_batches goes with {name}={needed!r}, not {name}={value!r}; set that, or fit an array."
            )
    return True


def is_lazy(X: Any) -> bool:
    """Whether an array is not in memory: memory-mapped, or one of Zarr, h5py or Dask, which come in chunks."""
    return isinstance(X, np.memmap) or (hasattr(X, "shape") and hasattr(X, "chunks"))


def identity(source: Source, params: dict[str, Any]) -> dict[str, str]:
    """What makes a fit the one that it is."""
    told = sha256(repr((source.classes.tolist(), source.counts.tolist())).encode()).hexdigest()[:16]
    params = {name: repr(value) for name, value in params.items() if name not in ("random_state", "verbose")}
    prompts = f"{len(source.classes):,}, with {source.n:,} images (SHA-256 {told})"
    return params | {"images": repr(source.image), "prompts": prompts, "version": version("linear-diffusion")}


class Trained(FittedModel):
    """A model that learns from images; see `LinearDiffusion`."""

    _moments: Moments | None = None
    """Sums over the batches of `partial_fit`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "text_encoder": [StrOptions({"one-hot", "words"}), HasMethods(["transform"]), callable],
        "latent_dim": [Interval(Integral, 1, None, closed="left"), Interval(Real, 0, 1, closed="neither")],
        "standardize": ["boolean"],
        "svd_solver": [StrOptions({"auto", "full", "randomized"})],
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
        svd_solver: str = "auto",
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
        self.svd_solver = svd_solver
        self.styles = styles
        self.schedule = schedule
        self.training = training
        self.n_draws = n_draws
        self.ridge = ridge
        self.tone = tone
        self.pixel_range = pixel_range
        self.random_state = random_state
        self.verbose = verbose

    @prints_progress
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from images and their prompts, in closed form.

        Parameters
        ----------
        X : array of shape (n, h, w), (n, h, w, channels) or (n, d)
            Images, or plain rows: of integers, bool, float32 or float64, which come out as they came in. float16 is
            read as float32, anything else as float64. Arrays that are not in memory (memory-mapped, of Zarr or h5py)
            are read batch by batch, as `fit_batches` does; those of Dask by the workers of the active client, or by
            threads.
        y : sequence of n prompts, optional
            Strings or labels; also a Dask array, beside one. None is one prompt, "".

        Returns
        -------
        self

        Raises
        ------
        NotEnoughMemoryError
            Before any work, with settings that would fit.

        Warns
        -----
        UserWarning
            If prompts have one image and lean on no others (see ``pooled_share_``), so that it is what is sampled for
            them; or if sampled training leaves ``styles`` unused, or has too few draws for its components.
        """
        self._validate_params()
        if is_lazy(X) and self.training == "exact" and self.text_encoder == "one-hot":
            if hasattr(X, "__dask_graph__"):
                return self._fit_on_workers((X, y), None)
            from ..datasets.stream import ArrayStream

            return self.fit_batches(ArrayStream(X, y))
        pixel_range = check_range(self.pixel_range)
        X = read_images(self, X)
        classes, index = check_prompts(y, len(X))
        settings = self._settings()
        image = ImageFormat.of(X, pixel_range, rescale=settings.unit_is_free)
        source = ArraySource(image.rows(X), index, classes, image)
        if self.text_encoder != "one-hot":
            if self.training != "exact":
                raise ValueError(
                    f'text_encoder={self.text_encoder!r} goes with training="exact", got training={self.training!r}; '
                    'choose that, or text_encoder="one-hot".'
                )
            parts = fit_words(source, settings, self.text_encoder)
        elif self.training == "sampled":
            parts = fit_sampled(source, settings, int(self.styles), self.n_draws, entropy_of(self.random_state))
        else:
            parts = fit_classes(source, settings, int(self.styles))
        self._moments = None
        exact = self.training == "exact"
        calibration = CalibrationImages(source.sample.kept, source.sample.index) if exact else None
        return self._take(parts, source.n, calibration)

    @available_if(is_streamed)  # type: ignore[untyped-decorator]
    @prints_progress
    def fit_batches(
        self,
        batches: Any,
        *,
        on_error: OnError = "raise",
        checkpoint: str | Path | None = None,
        checkpoint_every: float = 30.0,
        client: Any = None,
    ) -> Self:
        """Learn from more images than fit in memory, batch by batch: as `fit` does from an array, but for rounding.

        Batches are read several times: once to see what they hold (where the stream does not tell), once for the
        components, six times for those of large images, and with styles four times more. Memory does not grow with the
        number of images. It is there for exact training of one-hot prompts.

        Parameters
        ----------
        batches : iterable of (images, prompts)
            Whatever gives the same images each time that it is iterated: a list, ``load_images(..., stream=True)``, or
            an object of your own with ``__iter__``. Images and prompts of a batch are as in `fit`, of one shape and
            dtype in all; neither their order nor where batches end matters. Of more than 262,144 images, a uniform
            sample of so many is where the centres of styles are found.
        on_error : {"raise", "skip"}, default="raise"
            What becomes of a batch with NaN, or of another shape or dtype: an error that names its position, or it is
            left out, which a warning counts.
        checkpoint : path, optional
            A folder that keeps the sums of each pass. After an interruption, even a killed process, the same call goes
            on from there, and gives the same model. The files are removed when the fit is done.
        checkpoint_every : float, default=30.0
            Seconds from one file to the next, at least.
        client : distributed.Client or str, optional
            Who reads the batches: the workers of a Dask client, those of a scheduler at an address such as
            "tcp://host:8786", "processes" of this machine, or "threads". Then ``batches`` is what they can read by
            parts: a list, or a stream of a folder of images or of an array in files. None is this process.

        Returns
        -------
        self

        Raises
        ------
        BatchError
            Naming the batch that cannot be used. A model that was fitted before stays as it was.
        TypeError
            If the batches can be read only once; `partial_fit` takes such.
        NotEnoughMemoryError
            Before anything is learned, with settings that would fit.

        Examples
        --------
        >>> from linear_diffusion import LinearDiffusion
        >>> from sklearn.datasets import load_digits
        >>> images, y = load_digits().images / 16, load_digits().target
        >>> batches = [(images[i : i + 500], y[i : i + 500]) for i in range(0, 1797, 500)]
        >>> model = LinearDiffusion(styles=20, random_state=0).fit_batches(batches)
        >>> whole = LinearDiffusion(styles=20, random_state=0).fit(images, y)
        >>> bool(np.allclose(model.means_, whole.means_))
        True
        """
        self._validate_params()
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error!r} must be 'raise' or 'skip'.")
        if not checkpoint_every >= 0:
            raise ValueError(f"checkpoint_every={checkpoint_every!r} must be a number of seconds >= 0.")
        if client is not None:
            if checkpoint is not None:
                raise ValueError(
                    "checkpoint goes with one process; leave it out with client, whose workers may be killed."
                )
            return self._fit_on_workers(batches, client, on_error)
        pixel_range, rescale = check_range(self.pixel_range), self._settings().unit_is_free
        source = BatchSource(batches, pixel_range, rescale=rescale, on_error=on_error)
        if checkpoint is not None:
            source.checkpoint = Checkpoint(Path(checkpoint), checkpoint_every, identity(source, self.get_params()))
        return self._fit_source(source)

    def _fit_on_workers(self, batches: Any, client: Any, on_error: OnError = "raise") -> Self:
        from ..cluster.source import open_source
        from ..cluster.workers import workers

        pixel_range, rescale = check_range(self.pixel_range), self._settings().unit_is_free
        with workers(client) as found:
            return self._fit_source(open_source(batches, found, pixel_range, rescale=rescale, on_error=on_error))

    def _fit_source(self, source: BatchSource) -> Self:
        parts = fit_classes(source, self._settings(), int(self.styles))
        if source.checkpoint is not None:
            source.checkpoint.remove()
        calibration = CalibrationImages(source.sample.kept, source.sample.index)
        source.tell_of_errors()
        self._moments, self.n_features_in_ = None, source.image.n_pixels
        self.__dict__.pop("feature_names_in_", None)
        return self._take(parts, source.n, calibration)

    @available_if(is_sum)  # type: ignore[untyped-decorator]
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

        Warns
        -----
        UserWarning
            If `fit` came before, which keeps no sums: partial_fit starts anew.

        Examples
        --------
        >>> from linear_diffusion import LinearDiffusion
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
        if self._moments is None:
            return self._take_moments(Moments.fit(X, y, pixel_range))
        if pixel_range == "auto":
            pixel_range = self.decoder_.image.pixel_range
        return self._take_moments(self._moments + Moments.fit(X, y, pixel_range))

    @classmethod
    def from_moments(cls, moments: Moments, **parameters: Any) -> Self:
        """The model of one Gaussian for each prompt, from moments of pixels alone: the one that `fit` with ``styles=1``
        finds on the images that they are of.

        `predict_proba` is as after `partial_fit`: by Bayes' rule to the letter, since there are no images to calibrate
        it on. Further images come by `partial_fit`.

        Parameters
        ----------
        moments : Moments
            As ``Moments.fit`` makes them, or sums and differences of such.
        **parameters
            Those of `LinearDiffusion`, but for what moments do not know: ``styles`` are clusters of images, and the
            pixel range is that of the moments. ``latent_dim`` is 144 unless it is given.

        Raises
        ------
        ValueError
            If the moments are not of images' pixels, or for ``styles`` other than 1, sampled training or prompts of
            words.

        Warns
        -----
        UserWarning
            If prompts have one image each, as with `fit`.

        Examples
        --------
        >>> from linear_diffusion import LinearDiffusion, Moments
        >>> from sklearn.datasets import load_digits
        >>> images, y = load_digits().images / 16, load_digits().target
        >>> moments = Moments.fit(images[:900], y[:900]) + Moments.fit(images[900:], y[900:])
        >>> model = LinearDiffusion.from_moments(moments, latent_dim=30)
        >>> whole = LinearDiffusion(styles=1, latent_dim=30).fit(images, y)
        >>> bool(np.allclose(model.covariances_, whole.covariances_))
        True
        """
        if not isinstance(moments, Moments):
            raise TypeError(f"moments must be Moments, got {type(moments).__name__}; make them with Moments.fit.")
        chosen: dict[str, Any] = {"styles": 1, "latent_dim": 144} | parameters
        model = cls(**chosen)
        model._validate_params()
        for name, needed in SUMS.items():
            if (value := getattr(model, name)) != needed:
                raise ValueError(
                    f"{name}={value!r} needs images: moments are sums over them, from which {name}={needed!r} learns "
                    "all. Leave it out, or fit the images."
                )
        if model.pixel_range != "auto":
            raise ValueError(f"pixel_range={model.pixel_range!r} is known: it is that of the moments; leave it out.")
        model._take_moments(moments)
        if model.ridge == 0:
            warn_of_single_images(moments.prompts, moments.counts)
        return model

    @property
    def moments_(self) -> Moments:
        """The sums over images that the model was made from, by `partial_fit` or `from_moments`."""
        if self._moments is None:
            raise AttributeError("moments_ is there after partial_fit and from_moments; fit keeps no sums.")
        return self._moments

    def _take_moments(self, moments: Moments) -> Self:
        """Learn from sums over images, and keep them for what is yet to come."""
        parts = fit_moments(moments, self._settings())
        self._moments, self.n_features_in_ = moments, moments.means.shape[1]
        return self._take(parts, int(moments.counts.sum()), None)

    def _settings(self) -> Settings:
        return Settings(
            self.latent_dim,
            self.standardize,
            rescale=self.schedule != "one-step",
            ridge=float(self.ridge),
            tone=self.tone,
            svd_solver=self.svd_solver,
        )
