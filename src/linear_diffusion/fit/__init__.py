"""Fit: images and prompts -> encoder, prior, decoder; all in closed form.

    source      images, from an array or a stream, read in passes               (`fit.source`, `fit.batches`)
    encoder     principal components, and moments of latents                    (`fit.encoder`)
    prior       styles of each prompt, their moments matched                    (`fit.clusters`, `styles`, `matching`)
                or regressions on words                                         (`fit.words`)
                or regressions on drawn noise                                   (`draw_noise` of `fit.encoder`)
    decoder     the encoder's inverse, then tone and detail curves              (`image`)

A function here does all of it for one kind of prompts; `model` chooses which.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..denoiser.prior import Prior, joined, one_gaussian_each
from ..denoiser.regression import RegressionPrior
from ..exceptions import warn
from ..image.decoder import Decoder
from ..image.detail import has_details
from ..image.format import ImageFormat
from ..image.pca import PCAEncoder, noise_floor
from ..text.prompts import OneHotEncoder
from ..utils.progress import tell
from ..utils.types import AnyArray, Array, Index
from .encoder import (
    Learned,
    Settings,
    Work,
    draw_noise,
    find_encoder,
    fits_dense,
    learn,
    most_components,
    residual,
)
from .matching import match_details, match_moments, n_draws, target_of, tone_curves
from .source import ArraySource, Latents, Source
from .styles import families, fit_styles, means_and_scatter, one_gaussian


class Parts(NamedTuple):
    """A fitted model."""

    encoder: PCAEncoder
    prior: Prior
    decoder: Decoder


def fit_classes(source: Source, settings: Settings, styles: int) -> Parts:
    """Prompts of their own, with styles or as one Gaussian each."""
    image, n, d = source.image, source.n, source.image.n_pixels
    toned = settings.tone and image.pixel_range is not None
    family = families(source.counts, most_components(settings.latent_dim, n, d))
    if styles == 1:  # each prompt is a family by itself, or all are one
        family = np.arange(len(family))
        if not fits_dense(len(family), most_components(settings.latent_dim, n, d)):
            family = np.zeros_like(family)
    if settings.ridge == 0:
        warn_of_single_images(source.classes, source.counts, family)
    drawn = n_draws(n, d) if toned else 0
    work = Work.of(source, family, styles, n_drawn=drawn, svd_solver=settings.svd_solver)
    if styles == 1 and work.n_families < work.p:
        return fit_one_covariance(source, settings, work)
    if styles == 1:
        return from_moments(learn(source, settings, work), image, settings)
    encoder, pixels = find_encoder(source, settings, work)
    if not pixels.diagonal:  # the rest is not needed any more, and large
        pixels = replace(pixels, scatter=pixels.scatter.diagonal(axis1=1, axis2=2).copy())
    latents, floor = Latents.of(encoder, source), noise_floor(encoder) * encoder.scale**2
    found = fit_styles(source, latents, family, styles, floor, settings.ridge, toned=toned)
    left = residual(pixels, encoder, found.squares)
    text, leaning = OneHotEncoder(source.classes), found.leaning[np.unique(found.owner, return_index=True)[1]]
    prior = joined(text, pixels.weights, left, found.laws, found.curves, found.owner, family, leaning)
    decoder = Decoder(encoder, image)
    if not toned:
        return Parts(encoder, prior, decoder)
    histogram = added(found.histogram, found.curves)
    targets = [
        target_of(law, found.counts[prior.components_of(g)], found.within[g], found.about_zero[g])
        for g, law in enumerate(found.laws)
    ]
    prior = match_moments(prior, decoder, targets, histogram, drawn)
    tell("tone curves")
    decoder = replace(decoder, curves=tone_curves(prior, decoder, histogram))
    if has_details(image):
        of_families = added(pixels.histogram, family)
        decoder = replace(decoder, details=match_details(prior, decoder, found.differences, of_families, drawn))
    return Parts(encoder, prior, decoder)


def fit_one_covariance(source: Source, settings: Settings, work: Work) -> Parts:
    """One Gaussian for each of very many prompts: means of their own, and one covariance within prompts, since a matrix
    for each would not fit."""
    image, p = source.image, len(source.classes)
    encoder, pixels = find_encoder(source, settings, work)
    latents = Latents.of(encoder, source)
    sums = means_and_scatter(source, latents)
    means, n = sums.totals / sums.counts[:, None], source.n
    within = (sums.scatter[0] - (means * sums.counts[:, None]).T @ means) / n
    law = one_gaussian(means, pixels.weights, within, settings.ridge)
    left = residual(pixels, encoder, sums.squares / sums.counts)
    together = np.zeros(p, np.intp)
    text = OneHotEncoder(source.classes)
    prior = joined(text, pixels.weights, left, [law], together, np.arange(p), together, np.ones(p))
    decoder = Decoder(encoder, image)
    if settings.tone and image.pixel_range:
        tell("tone curves")
        histogram = pixels.histogram.sum(axis=0, keepdims=True)
        decoder = replace(decoder, curves=tone_curves(prior, decoder, histogram))
    return Parts(encoder, prior, decoder)


def added(each: Array, index: Index) -> Array:
    """The sums of arrays (n, ...) that have the same position (n,)."""
    out = np.zeros((int(index.max()) + 1, *each.shape[1:]))
    np.add.at(out, index, each)
    return out


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


def fit_sampled(source: ArraySource, settings: Settings, styles: int, n_draws: int, entropy: int) -> Parts:
    """The article's way: the noise is drawn, n_draws times for each image. Styles are warned of, since they are not
    used."""
    rows, image = source.rows, source.image
    _warn_of_sampled_training(styles, n_draws, most_components(settings.latent_dim, *rows.shape), source)
    learned = learn(source, settings, Work.of(source, sampled=True, svd_solver=settings.svd_solver))
    tell("noise, drawn")
    joint = draw_noise(rows, source.index, source.classes, learned.encoder, n_draws, entropy)
    covariances, k = joint.covariances, learned.encoder.latent_dim
    covariances[:, :k, :k] += settings.ridge * np.eye(k)
    prior = RegressionPrior(OneHotEncoder(source.classes), learned.latents.weights, joint.means, covariances)
    if settings.tone and image.pixel_range:  # curves start from the pixels of each prompt's Gaussian
        return from_moments(learned, image, settings)._replace(prior=prior)
    return Parts(learned.encoder, prior, Decoder(learned.encoder, image))


def _warn_of_sampled_training(styles: int, n_draws: int, k: int, source: Source) -> None:
    """Say what sampled training leaves unused, and where it has too few draws for k components."""
    if styles != 1:
        warn(
            f'training="sampled" has one Gaussian for each prompt, so that styles={styles!r} is not used; set styles=1 '
            '(and latent_dim=144, as one_shot does), or training="exact".'
        )
    counts = source.counts * n_draws
    least = int(counts.min())
    if least < 2 * k:
        warn(
            f'training="sampled" with latent_dim={k} regresses noise on {k} components, for which prompt '
            f"{source.classes.tolist()[int(counts.argmin())]!r} has {least} noisy latents only; samples will be mostly "
            f"noise. Set latent_dim={max(least // 2, 1)} or less, n_draws={-(-2 * k * n_draws // least)} or more, or "
            'training="exact".'
        )


def warn_of_single_images(classes: AnyArray, counts: AnyArray, family: Index | None = None) -> None:
    """Say for which prompts one image is all that is sampled: where no other prompt of their family, if they have one,
    has more either."""
    family = np.arange(len(counts)) if family is None else family
    freedom = np.bincount(family, counts - 1)
    single = classes[(counts == 1) & (freedom[family] == 0)].tolist()
    if single:
        named = ", ".join(f"{prompt!r:.60}" for prompt in single[:5]) + (", ..." if len(single) > 5 else "")
        has, each = ("prompt has", "it") if len(single) == 1 else ("prompts have", "each of them")
        warn(
            f"{len(single)} {has} 1 image only ({named}): what is sampled for {each} is that image. Give more images, "
            'or let prompts share their words with text_encoder="words".'
        )
