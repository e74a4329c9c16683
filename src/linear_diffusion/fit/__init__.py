"""Fit: images and prompts -> encoder, prior, decoder; all in closed form.

    encoder     principal components, and moments of latents                      (`fit.encoder`)
    prior       styles of each prompt, their moments matched                      (`fit.clusters`, `fit.matching`)
                or regressions on words                                           (`fit.words`)
                or regressions on drawn noise                                     (`draw_noise` of `fit.encoder`)
    decoder     the encoder's inverse, then tone and detail curves                (`image`)

A function here does all of it for one kind of prompts; `model` chooses which.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..denoiser.moments import tone_histograms
from ..denoiser.prior import Prior, joined, one_gaussian_each
from ..denoiser.regression import RegressionPrior
from ..exceptions import warn
from ..image.decoder import Decoder
from ..image.detail import has_details
from ..image.format import ImageFormat
from ..image.pca import PCAEncoder, noise_floor
from ..text.prompts import OneHotEncoder
from ..utils.progress import tell
from ..utils.types import AnyArray, Index
from .clusters import fit_styles
from .encoder import Learned, Settings, draw_noise, learn, most_components
from .matching import match_details, match_moments, n_draws, tone_curves


class Parts(NamedTuple):
    """A fitted model."""

    encoder: PCAEncoder
    prior: Prior
    decoder: Decoder


def fit_classes(
    rows: AnyArray, index: Index, classes: AnyArray, image: ImageFormat, settings: Settings, styles: int
) -> Parts:
    """Prompts of their own, with styles or as one Gaussian each, of rows (n, d) with positions (n,) of their prompts
    (p,)."""
    if settings.ridge == 0:
        _warn_of_single_images(classes, index)
    tell(f"components and moments of {len(rows):,} images")
    toned = settings.tone and image.pixel_range is not None
    drawn = n_draws(*rows.shape) if toned else 0
    learned = learn(rows, index, classes, image, settings, n_styles=styles, n_drawn=drawn)
    if styles == 1:
        return from_moments(learned, image, settings)
    encoder, weights = learned.encoder, learned.latents.weights
    z, floor = encoder.encode(rows), noise_floor(encoder) * encoder.scale**2
    laws, groups, labels = fit_styles(z, index, len(classes), styles, floor, settings.ridge)
    prior = joined(OneHotEncoder(classes), weights, learned.residual, laws, groups)
    decoder = Decoder(encoder, image)
    if not toned:
        return Parts(encoder, prior, decoder)
    labels += np.searchsorted(prior.owner, index)
    curve = prior.curves[labels]
    histogram = tone_histograms(rows, curve, int(curve.max()) + 1, image.tones, image.n_channels)
    prior = match_moments(prior, decoder, z, labels, histogram)
    tell("tone curves")
    decoder = replace(decoder, curves=tone_curves(prior, decoder, histogram))
    if has_details(image):
        decoder = replace(decoder, details=match_details(prior, decoder, rows, index, learned.histogram))
    return Parts(encoder, prior, decoder)


def from_moments(learned: Learned, image: ImageFormat, settings: Settings) -> Parts:
    """One Gaussian for each prompt, from moments alone."""
    latents, encoder = learned.latents, learned.encoder
    covariances = latents.covariances + settings.ridge * np.eye(encoder.latent_dim)
    text = OneHotEncoder(latents.prompts)
    prior = one_gaussian_each(text, latents.weights, learned.residual, latents.means, covariances)
    decoder = Decoder(encoder, image)
    if settings.tone and image.pixel_range:
        tell("tone curves")
        decoder = replace(decoder, curves=tone_curves(prior, decoder, learned.histogram))
    return Parts(encoder, prior, decoder)


def fit_sampled(
    rows: AnyArray,
    index: Index,
    classes: AnyArray,
    image: ImageFormat,
    settings: Settings,
    styles: int,
    n_draws: int,
    entropy: int,
) -> Parts:
    """The article's way: the noise is drawn, n_draws times for each image. Styles are warned of, since they are not
    used."""
    _warn_of_sampled_training(styles, n_draws, most_components(settings.latent_dim, *rows.shape), classes, index)
    tell(f"components and moments of {len(rows):,} images")
    learned = learn(rows, index, classes, image, settings, sampled=True)
    tell("noise, drawn")
    joint = draw_noise(rows, index, classes, learned.encoder, n_draws, entropy)
    covariances, k = joint.covariances, learned.encoder.latent_dim
    covariances[:, :k, :k] += settings.ridge * np.eye(k)
    prior = RegressionPrior(OneHotEncoder(classes), learned.latents.weights, joint.means, covariances)
    if settings.tone and image.pixel_range:  # curves start from the pixels of each prompt's Gaussian
        return from_moments(learned, image, settings)._replace(prior=prior)
    return Parts(learned.encoder, prior, Decoder(learned.encoder, image))


def _warn_of_sampled_training(styles: int, n_draws: int, k: int, classes: AnyArray, index: Index) -> None:
    """Say what sampled training leaves unused, and where it has too few draws for k components."""
    if styles != 1:
        warn(
            f'training="sampled" has one Gaussian for each prompt, so that styles={styles!r} is not used; set styles=1 '
            '(and latent_dim=144, as one_shot does), or training="exact".'
        )
    counts = np.bincount(index) * n_draws
    least = int(counts.min())
    if least < 2 * k:
        warn(
            f'training="sampled" with latent_dim={k} regresses noise on {k} components, for which prompt '
            f"{classes.tolist()[int(counts.argmin())]!r} has {least} noisy latents only; samples will be mostly noise. "
            f"Set latent_dim={max(least // 2, 1)} or less, n_draws={-(-2 * k * n_draws // least)} or more, or "
            'training="exact".'
        )


def _warn_of_single_images(classes: AnyArray, index: Index) -> None:
    """Say which prompts have one image, which is all that is sampled for them."""
    single = classes[np.bincount(index) == 1].tolist()
    if single:
        named = ", ".join(f"{prompt!r:.60}" for prompt in single[:5]) + (", ..." if len(single) > 5 else "")
        has, each = ("prompt has", "it") if len(single) == 1 else ("prompts have", "each of them")
        warn(
            f"{len(single)} {has} 1 image only ({named}): what is sampled for {each} is that image. Give more images, "
            'or let prompts share their words with text_encoder="words".'
        )
