"""Restore: images, given what an operator and noise left of them; from pixels to pixels.

    pixels of Y -> the model's units -> level of the noise -> `mixture.Posterior` -> pixels, within their range

What the posterior is, is in `mixture` (all prompts) and `posterior` (one prompt).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ..exceptions import NotEnoughMemoryError, warn
from ..image.format import ImageFormat, limits
from ..image.pca import PCAEncoder
from ..operators import Observation
from ..utils.groups import by_group
from ..utils.memory import available_memory, readable
from ..utils.types import AnyArray, Array, Index, number
from .density import PromptDensity, population, unseen
from .mixture import Posterior

POPULATION = 0.06
"""Share of the variance of all images that whole images have beside the components; by its rows in
benchmarks/results/restore-constants.md."""
_AS_MANY = 20
"""That share is at least as if a prompt had so many images more, drawn from all. Without it denoising adds noise to the
images of small sets (tests/tasks/test_restore.py, "does no harm")."""
_ESTIMATED_ON = 50
"""Images that the noise is estimated on: of 784 pixels each, they leave it uncertain by 0.4 % (1 / sqrt(2 n d))."""
_BEYOND = 0.1
"""How far beyond the range of images restored pixels may lie (root mean square), as a share of it."""


@dataclass(frozen=True)
class Known:
    """What restoration takes of a fitted model, and of a call's prompts: each image's one (n,), or None where any may
    be."""

    densities: Sequence[PromptDensity]
    weights: Array
    image: ImageFormat
    n_images: int
    index: Index | None


def denoise(known: Known, images: AnyArray, noise_std: float | None, *, exact: bool) -> AnyArray:
    """Posterior means of images (n, d) with noise, in their dtype; see `LinearDiffusion.denoise`."""
    seen = Observation(np.arange(len(images)), None, images)
    return _answers(known, [seen], noise_std, exact, images.dtype, lambda posterior, _: posterior.mean())


def restore(
    known: Known,
    seen: Sequence[Observation],
    noise_std: float | None,
    *,
    return_std: bool,
    n_samples: int | None,
    exact: bool,
    entropy: int,
) -> Any:
    """Posterior of images, given what was seen of them; see `LinearDiffusion.restore`. Returns (n, d) or (n, n_samples,
    d)."""
    d = known.image.n_pixels
    n, dtype = sum(len(group.members) for group in seen), seen[0].y.dtype
    needed, available = 8 * n * d * (n_samples or 0), available_memory()
    if available is not None and needed > available:
        raise NotEnoughMemoryError(
            f"{n * (n_samples or 0):,} draws (n_samples for each image) take {readable(needed)}, and "
            f"{readable(available)} are available; ask for fewer, or for fewer images at once."
        )
    dtype = dtype.newbyteorder("=") if dtype.kind in "iu" or dtype == np.float32 else np.dtype(np.float64)
    std = np.zeros((n, d)) if return_std else None

    def answer(posterior: Posterior, members: Index) -> Array:
        if n_samples is not None:
            return posterior.samples(n_samples, entropy, members)
        if std is None:
            return posterior.mean()
        mean, deviation = posterior.mean_and_std()
        std[members] = deviation * known.image.unit
        return mean

    out = _answers(known, seen, noise_std, exact, dtype, answer)
    return out if std is None else (out, std)


def require_noise(noise_std: float | None, image: ImageFormat) -> None:
    """Refuse a ``noise_std`` that is no deviation of noise on images."""
    if noise_std is not None and not 0 <= number(noise_std) < image.farthest:
        raise ValueError(
            f"noise_std={noise_std!r} must be a number from 0 to {image.farthest:g}, in the units of the images, or "
            "None to estimate it."
        )


def _answers(
    known: Known,
    seen: Sequence[Observation],
    noise_std: float | None,
    exact: bool,
    dtype: Any,
    answer: Callable[[Posterior, Index], Array],
) -> AnyArray:
    """An answer about all images, rows (n, d) or draws (n, n_samples, d), in a dtype and within its range."""
    image, encoder, out = known.image, known.densities[0].encoder, None
    for group in seen:
        if group.matrix is not None or (noise_std != 0.0 and np.ptp(encoder.std)):
            _require_memory(known.densities if known.index is None else known.densities[:1], group.y.shape[1])
    everything = population(known.densities, known.weights)
    beside = unseen(everything, known.n_images)
    everything = everything.with_noise(2 * beside)  # images differ in how much of them is new
    whole = known.densities if exact else _widened(known, beside)
    for group in seen:
        whole_images, zeros = group.matrix is None, np.full(image.n_pixels, image.origin)
        inner = image.inner(group.y, zeros if whole_images else group.matrix @ zeros)
        level = _estimated(everything, group, inner) if noise_std is None else float(noise_std) / image.unit
        level = max(level, group.rounding / image.unit)
        densities = whole if whole_images else known.densities
        for j, rows in [(None, slice(None))] if known.index is None else by_group(known.index[group.members]):
            prompts, weights = (densities, known.weights) if j is None else ([densities[j]], np.ones(1))
            y, members = group.y[rows], group.members[rows]
            if whole_images and level == 0.0:
                found: AnyArray = y.astype(np.float64)
            else:
                own = Observation(members, group.matrix, inner[rows], group.kept, group.disjoint)
                posterior = Posterior(prompts, weights, own, level)
                found = image.outer(answer(posterior if exact else posterior.robust(), members))
                if noise_std is not None and not whole_images:
                    _warn_of_misfit(found, level, image, partial(_estimated, everything, group, inner), encoder)
                if not exact and image.pixel_range is not None:
                    found = np.clip(found, *image.pixel_range)
            if group.kept is not None and level == 0.0:
                found[..., group.kept] = y if found.ndim == 2 else y[:, None]
            if out is None:
                out = np.empty((sum(len(g.members) for g in seen), *found.shape[1:]), dtype)
            out[members] = _as(dtype, found, image)
    return np.asarray(out)


def _widened(known: Known, beside: float) -> list[PromptDensity]:
    """Prompts for whole images that are no draws from the density: with a share of the variance of all images beside,
    and the white noise that new images have (`unseen`). A prompt without styles, of more images than pixels, has seen
    all directions, and is left as it is."""
    return [
        prompt
        if len(prompt.shares) == 1 and n > len(prompt.encoder.mean)
        else prompt.widened(max(POPULATION, min(1.0, _AS_MANY / n))).with_noise(beside)
        for prompt, n in zip(known.densities, known.n_images * known.weights, strict=True)
    ]


def _estimated(everything: PromptDensity, seen: Observation, y: AnyArray) -> float:
    """The deviation of the noise under which what was seen (n, m) is most likely, in the units of y. By bounded search
    (Brent 1973) over its logarithm, on fifty of the images, under one Gaussian of all images: it has their second
    moments, so that it takes nothing for noise which images have themselves, as narrow components would."""
    some = y[np.sort(np.random.default_rng(0).permutation(len(y))[:_ESTIMATED_ON])]
    mean = everything.encoder.mean
    usual = mean if seen.matrix is None else seen.matrix @ mean
    largest = 2 * float(np.sqrt(((some - usual) ** 2).mean()))
    if largest == 0.0:
        return 0.0
    own = Observation(np.arange(len(some)), seen.matrix, some, seen.kept, seen.disjoint)

    def unlikely(log_std: float) -> float:
        return -float(Posterior([everything], np.ones(1), own, float(np.exp(log_std))).log_evidence().mean())

    found = minimize_scalar(
        unlikely, bounds=(np.log(largest) - 10, np.log(largest)), method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x))


def _warn_of_misfit(
    found: AnyArray, level: float, image: ImageFormat, explained: Callable[[], float], encoder: PCAEncoder
) -> None:
    """Warn where restored pixels lie far beyond those of images: what was seen has more noise than was said."""
    usual = 4 * np.sqrt(encoder.total_variance / len(encoder.mean)) * encoder.std
    low, high = image.pixel_range or (image.outer(encoder.mean - usual), image.outer(encoder.mean + usual))
    width = np.broadcast_to(np.subtract(high, low), found.shape[1:])
    beyond = np.divide(found - np.clip(found, low, high), width, out=np.zeros_like(found), where=width > 0)
    if np.sqrt((beyond**2).mean()) > _BEYOND and (likely := explained()) > level:
        warn(
            f"restored pixels reach from {found.min():.3g} to {found.max():.3g}, far beyond those of images: Y has "
            f"more noise than {level * image.unit:.2g}; noise_std={likely * image.unit:.2g} would explain it."
        )


def _as(dtype: Any, pixels: Array, image: ImageFormat) -> AnyArray:
    """Restored pixels in a dtype: integers within the range, or what the dtype holds; floats as they are."""
    if np.dtype(dtype).kind in "biu":
        pixels = np.rint(pixels.clip(*limits(dtype)))
        pixels = pixels if image.pixel_range is None else pixels.clip(*image.pixel_range)
    return pixels.astype(dtype)


def _require_memory(prompts: Sequence[PromptDensity], m: int) -> None:
    """Refuse an operator that leaves m numbers of an image where its matrices would not fit, saying what would."""
    k, d = prompts[0].encoder.components.shape
    most = max(int(prompt.factors[:, 0].size) for prompt in prompts)
    a_prompt = 8 * (m * m + 2 * m * (k + d) + 2 * k * d + 2 * min(m, d) * most)
    beside = 8 * (2 * m * m + m * d)
    available = available_memory()
    if available is None or len(prompts) * a_prompt + beside <= available:
        return
    advice = "use a model of smaller images, or an operator that leaves less"
    if fitting := max(available - beside, 0) // a_prompt:
        advice = f"{fitting} prompts would fit, one after the other with prompts=..."
    raise NotEnoughMemoryError(
        f"restoring images of {d} pixels from {m} numbers under {len(prompts)} prompts needs about "
        f"{readable(len(prompts) * a_prompt + beside)}, and {readable(available)} are available; {advice}."
    )
