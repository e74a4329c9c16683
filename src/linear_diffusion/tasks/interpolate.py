"""Ways between two pictures, through noise and prompt alike.

    eps_i = S_i^(-1/2) (z_i - mu_i),   eps_u = slerp(eps_0, eps_1; u),   z_u = mu_u + S_u^(1/2) eps_u

Each picture is carried to noise by its prompt's exact probability flow, which can be inverted (DDIM inversion, Song et
al. 2021, section 5.4, in the limit of infinitely many steps). Noise is interpolated on a sphere, the prompt's code on
a line, and the exact flow of the mixed prompt carries the noise back. Ends are the pictures as the encoder sees them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..denoiser.gaussian import GaussianDenoiser, in_latent, mixed
from ..denoiser.prior import Prior
from ..image.decoder import Decoder
from ..image.pca import noise_floor
from ..noise import CLEAN
from ..plan import distinct, plan
from ..text.mixes import Mix
from ..utils.types import AnyArray, Array, whole

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

    >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3)
    array([0.707, 0.707])
    """
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / norms, -1.0, 1.0)) if norms > 0 else 0.0
    if np.sin(angle) < 1e-6:
        return (1 - share) * a + share * b
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def interpolate(prior: Prior, decoder: Decoder, rows: AnyArray, mixes: Sequence[Mix], n: int) -> AnyArray:
    """Images (n, ...) on the way between two rows. The ends are pictures, which have no need of a tone curve; the
    middle is drawn, and has all of it."""
    encoder, shares = decoder.encoder, np.linspace(0.0, 1.0, n)
    z = encoder.encode(rows).astype(np.float64)
    floor = noise_floor(encoder) * encoder.scale**2
    path = latent_path(z, [prior.gaussian(mix) for mix in mixes], shares, floor)
    # The tone curve of each end is that of the component nearest to it.
    nearest = [prior.components(mix[0][0]).nearest(end) for mix, end in zip(mixes, z, strict=True)]
    kinds, mix_of = distinct(mixes)
    ends = plan(prior, decoder, kinds, mix_of, np.array(nearest))
    toned = ends.decoder.without_details()  # those are fitted to samples
    out = toned.decode(path)
    if toned.curves is not None and n > 2:
        (first, last), middle, own = ends.curves[ends.index].tolist(), slice(1, -1), []
        for share in shares[middle]:
            tone = 1 - abs(1 - 2 * share)
            weights = {first: tone * (1 - share)}
            weights[last] = weights.get(last, 0.0) + tone * share
            own.append((weights, 1 - tone))
        out[middle] = toned.mixed(own).decode(path[middle], np.arange(n - 2))
    return decoder.image.images(out)


def latent_path(z: Array, ends: Sequence[GaussianDenoiser], shares: Array, floor: float) -> Array:
    """Latents (n, k) on the way between two, at shares (n,) of it. Variances have a floor, so that what a prompt never
    shows can be carried to noise and back."""
    both = [GaussianDenoiser(end.mean, np.maximum(end.variances, floor), end.basis) for end in ends]
    noise = [g.basis @ ((end - g.mean) @ g.basis / np.sqrt(g.variances)) for g, end in zip(both, z, strict=True)]
    path = []
    for share in shares.tolist():
        way = mixed(both, np.array([1 - share, share]))
        law = in_latent(way.marginal(CLEAN), way)
        path.append(law.matrix @ slerp(noise[0], noise[1], share) + law.shift)
    return np.stack(path)
