"""Ways between two pictures, through noise and prompt alike.

    eps_i = S_i^(-1/2) (z_i - mu_i),   eps_u = slerp(eps_0, eps_1; u),   z_u = mu_u + S_u^(1/2) eps_u

Each picture is carried to noise by its prompt's exact probability flow, which can be inverted (DDIM inversion, Song et
al. 2021, section 5.4, in the limit of infinitely many steps). Noise is interpolated on a sphere, the prompt's code on
a line, and the exact flow of the mixed prompt carries the noise back. Ends are the pictures as the encoder sees them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ._types import AnyArray, Array, Index, whole
from .compose import Composition
from .denoiser import GaussianDenoiser, mixed
from .noise import CLEAN
from .prompts import Mix
from .sampler import in_latent

MOST_IMAGES = 1_000_000
"""Of one way."""


def check_count(n_images: Any) -> int:
    """Images of a way, its ends included."""
    if not 2 <= whole(n_images) <= MOST_IMAGES:
        raise ValueError(
            f"n_images={n_images!r} must be a whole number >= 2, the ends of a way, at most {MOST_IMAGES:,}."
        )
    return int(n_images)


def slerp(a: Array, b: Array, share: float) -> Array:
    """Spherical interpolation of two vectors (Shoemake 1985); linear where they are parallel or one is zero.

    Examples
    --------
    >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3)
    array([0.707, 0.707])
    """
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / norms, -1.0, 1.0)) if norms > 0 else 0.0
    if np.sin(angle) < 1e-6:
        return (1 - share) * a + share * b
    between: Array = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return between


def between(composition: Composition, index: Index, mixes: Sequence[Mix], z: Array, n: int, floor: float) -> AnyArray:
    """Images on the way between two latents.

    Ends are pictures, which have no need of a tone curve; the middle is drawn, and has all of it.

    Parameters
    ----------
    composition : Composition
    index : array of int, shape (2,)
        Piece of each end, for its tone curve.
    mixes : two Mix
        Prompts of each end, each one Gaussian.
    z : array of shape (2, k)
    n : int
        Images, both ends included.
    floor : float
        The least variance, as in `latent_path`.

    Returns
    -------
    array of shape (n, \\*image.shape)
    """
    first, last = index.tolist()
    shares = np.linspace(0.0, 1.0, n)
    ends = [composition.of_prompts(mix) for mix in mixes]
    path = latent_path(z, cast(Sequence[GaussianDenoiser], ends), shares, floor)
    decoder = replace(composition.decoder(), details=None)  # those are fitted to samples
    out = decoder.draw(path, None)
    if decoder.curves is not None and n > 2:
        middle, own = slice(1, -1), []
        for share in shares[middle]:
            tone = 1 - abs(1 - 2 * share)
            weights = {first: tone * (1 - share)}
            weights[last] = weights.get(last, 0.0) + tone * share
            own.append((weights, 1 - tone))
        out[middle] = decoder.mixed(own).draw(path[middle], np.arange(n - 2))
    return decoder.image.images(out)


def latent_path(z: Array, ends: Sequence[GaussianDenoiser], shares: Array, floor: float) -> Array:
    """Latents on the way from one to the other.

    Parameters
    ----------
    z : array of shape (2, k)
    ends : two GaussianDenoiser
        Of each end's prompt.
    shares : array of shape (n,)
        Of the way, from 0 to 1.
    floor : float
        The least variance, so that what a prompt never shows can be carried to noise and back.

    Returns
    -------
    array of shape (n, k)
    """
    both = GaussianDenoiser(
        np.stack([end.means for end in ends]),
        np.stack([np.maximum(end.variances, floor) for end in ends]),
        np.stack([end.basis for end in ends]),
    )
    noise = []
    for i in (0, 1):
        deviation = (z[i] - both.means[i]) @ both.basis[i] / np.sqrt(both.variances[i])
        noise.append(both.basis[i] @ deviation)
    way = mixed(both, np.column_stack([1 - shares, shares]))
    law = in_latent(way.marginal(CLEAN), way.basis)
    eps = np.stack([slerp(noise[0], noise[1], float(share)) for share in shares])
    path: Array = (law.matrix @ eps[..., None])[..., 0] + law.shift
    return path
