"""Fit: images and prompts -> encoder, prior, decoder; all in closed form.

encoder     principal components, and moments of latents                          (`fit.encoder`)
prior       styles of each prompt, their moments matched                          (`fit.clusters`, `fit.matching`)
            or regressions on words                                               (`fit.words`)
            or regressions on drawn noise                                         (`draw_noise` of `fit.encoder`)
decoder     the encoder's inverse, then tone and detail curves                    (`image`)
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..denoiser.moments import tone_histograms
from ..denoiser.prior import ClassPrior, Prior, joined, one_gaussian_each
from ..denoiser.regression import RegressionPrior
from ..exceptions import warn
from ..image.decoder import Decoder
from ..image.detail import has_details
from ..image.format import ImageFormat
from ..image.pca import PCAEncoder, noise_floor
from ..image.tone import fit_tone_curves
from ..text.prompts import OneHotEncoder
from ..utils.progress import tell
from ..utils.types import AnyArray, Array, Index
from .clusters import fit_styles
from .encoder import Learned, draw_noise, learn
from .matching import match_details, match_moments, n_draws, pixel_mixtures


class Parts(NamedTuple):
    """A fitted model."""

    encoder: PCAEncoder
    prior: Prior
    decoder: Decoder


def fit_classes(
    rows: AnyArray,
    index: Index,
    classes: AnyArray,
    image: ImageFormat,
    latent_dim: int | float,
    *,
    standardize: bool,
    rescale: bool,
    styles: int,
    ridge: float,
    tone: bool,
) -> Parts:
    """Prompts of their own, with styles or as one Gaussian each.

    Parameters
    ----------
    rows : array of shape (n, d)
    index : array of int, shape (n,)
        Position of each image's prompt.
    classes : array of shape (p,)
    image : ImageFormat
    latent_dim, standardize, rescale
        See `image.pca.pca_from_covariance`.
    styles, ridge, tone
        See `LinearDiffusion`.
    """
    if ridge == 0:
        _warn_of_single_images(classes, index)
    tell(f"components and moments of {len(rows):,} images")
    drawn = n_draws(*rows.shape) if tone and image.pixel_range else 0
    how: dict[str, Any] = {"standardize": standardize, "rescale": rescale, "n_styles": styles, "n_drawn": drawn}
    learned = learn(rows, index, classes, image, latent_dim, **how)
    if styles == 1:
        return from_moments(learned, image, ridge=ridge, tone=tone)
    encoder, weights = learned.encoder, learned.latents.weights
    z, floor = encoder.encode(rows), noise_floor(encoder) * encoder.scale**2
    laws, groups, labels = fit_styles(z, index, len(classes), styles, floor, ridge)
    prior = joined(OneHotEncoder(classes), weights, learned.residual, laws, groups)
    decoder = Decoder(encoder, image)
    if not (tone and image.pixel_range):
        return Parts(encoder, prior, decoder)
    labels += np.searchsorted(prior.owner, index)
    curve = prior.curves[labels]
    histogram = tone_histograms(rows, curve, int(curve.max()) + 1, image.tones, image.n_channels)
    prior = match_moments(prior, decoder, z, labels, histogram)
    tell("tone curves")
    decoder = replace(decoder, curves=fit_tone_curves(pixel_mixtures(prior, encoder), histogram, image.tone_range))
    if has_details(image):
        decoder = replace(decoder, details=match_details(prior, decoder, rows, index, learned.histogram))
    return Parts(encoder, prior, decoder)


def from_moments(learned: Learned, image: ImageFormat, *, ridge: float, tone: bool) -> Parts:
    """One Gaussian for each prompt, from moments alone."""
    latents, encoder = learned.latents, learned.encoder
    covariances = latents.covariances + ridge * np.eye(len(encoder.components))
    text = OneHotEncoder(latents.prompts)
    prior = one_gaussian_each(text, latents.weights, learned.residual, latents.means, covariances)
    return Parts(encoder, prior, _toned(prior, Decoder(encoder, image), learned.histogram, tone))


def fit_sampled(
    rows: AnyArray,
    index: Index,
    classes: AnyArray,
    image: ImageFormat,
    latent_dim: int | float,
    *,
    standardize: bool,
    rescale: bool,
    ridge: float,
    tone: bool,
    n_draws: int,
    entropy: int,
) -> Parts:
    """The article's way: the noise is drawn, n_draws times for each image.

    Parameters
    ----------
    rows, index, classes, image, latent_dim, standardize, rescale, ridge, tone
        See `fit_classes`.
    n_draws : int
    entropy : int
        Of the noise.
    """
    tell(f"components and moments of {len(rows):,} images")
    learned = learn(rows, index, classes, image, latent_dim, standardize=standardize, rescale=rescale, sampled=True)
    exact = from_moments(learned, image, ridge=ridge, tone=tone)
    tell("noise, drawn")
    joint = draw_noise(rows, index, classes, learned.encoder, n_draws, entropy)
    covariances, k = joint.covariances, len(learned.encoder.components)
    covariances[:, :k, :k] += ridge * np.eye(k)
    prior = RegressionPrior(OneHotEncoder(classes), learned.latents.weights, joint.means, covariances)
    return exact._replace(prior=prior)


def warn_of_sampled_training(styles: int, n_draws: int, k: int, classes: AnyArray, index: Index) -> None:
    """Say what sampled training leaves unused, and where it has too few draws for k components."""
    if styles != 1:
        warn(
            f'training="sampled" has one Gaussian for each prompt, so that styles={styles!r} is not used; set styles=1 '
            '(and latent_dim=144, as one_shot does), or training="exact".',
        )
    counts = np.bincount(index) * n_draws
    least = int(counts.min())
    if least < 2 * k:
        warn(
            f'training="sampled" with latent_dim={k} regresses noise on {k} components, for which prompt '
            f"{classes.tolist()[int(counts.argmin())]!r} has {least} noisy latents only; samples will be mostly noise. "
            f"Set latent_dim={max(least // 2, 1)} or less, n_draws={-(-2 * k * n_draws // least)} or more, or "
            'training="exact".',
        )


def _toned(prior: ClassPrior, decoder: Decoder, histogram: Array, tone: bool) -> Decoder:
    if not (tone and decoder.image.pixel_range):
        return decoder
    tell("tone curves")
    mixtures = pixel_mixtures(prior, decoder.encoder)
    return replace(decoder, curves=fit_tone_curves(mixtures, histogram, decoder.image.tone_range))


def _warn_of_single_images(classes: AnyArray, index: Index) -> None:
    """Say which prompts have one image, which is all that is sampled for them."""
    single = classes[np.bincount(index) == 1].tolist()
    if single:
        named = ", ".join(f"{prompt!r:.60}" for prompt in single[:5]) + (", ..." if len(single) > 5 else "")
        has, each = ("prompt has", "it") if len(single) == 1 else ("prompts have", "each of them")
        warn(
            f"{len(single)} {has} 1 image only ({named}): what is sampled for {each} is that image. Give more images, "
            'or let prompts share their words with text_encoder="words".',
        )
