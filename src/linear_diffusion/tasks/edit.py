"""Edits: from a picture rather than from noise (SDEdit, Meng et al. 2022, algorithm 1; diffusers' image-to-image).

    z_t = alpha_t z + sigma_t eps,      z_t --sampler, from level t--> z_0           t = strength

Little noise keeps the picture, much leaves it to the prompt. Samples of a style have no variance off its own
directions; what a picture has there is kept as far as the optimal denoiser sees it through the noise.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ..denoiser.prior import Prior
from ..draw import Run, draw, draw_from
from ..image.decoder import Decoder
from ..noise import CLEAN, Level, Schedule, add_noise
from ..plan import Plan, distinct, draw_components, plan
from ..sampler import NOISE
from ..text.mixes import Mix
from ..utils.groups import by_group
from ..utils.streams import EDITS, STYLES, blocks, derived, start_noise, stream
from ..utils.types import AnyArray, Array, Index, number

_ROUNDING = 1e-9


def check_strength(strength: Any) -> float:
    """How much of the way from noise is walked, from 0 to 1."""
    if not 0 <= number(strength) <= 1:
        raise ValueError(f"strength={strength!r} must be between 0, the picture itself, and 1, a sample.")
    return float(strength)


def last_levels(levels: list[Level], strength: float) -> list[Level]:
    """The levels of the last ``int(strength n_steps)`` steps, as in diffusers.

    Raises `ValueError`: if these are no steps at all.

    >>> from linear_diffusion.noise import SCHEDULES
    >>> last_levels(SCHEDULES["flow"].levels(4), 0.5)
    [Level(alpha=0.5, sigma=0.5), Level(alpha=0.75, sigma=0.25), Level(alpha=1.0, sigma=0.0)]
    """
    n_steps = len(levels) - 1
    n_last = int(strength * n_steps + _ROUNDING)
    if n_last == 0:
        raise ValueError(
            f"strength={strength:g} of n_steps={n_steps} is no step; give a strength of {1 / n_steps:.3g} or more, or "
            "more steps."
        )
    return levels[n_steps - n_last :]


def noised(z: Array, level: Level, entropy: int) -> Array:
    """Latents (n, k) with noise, as much as a level has."""
    out = np.empty(z.shape)
    for block, part in blocks(len(z)):
        eps = start_noise(entropy, block, part.stop - part.start, z.shape[1])
        out[part] = add_noise(z[part].astype(np.float64), eps.astype(np.float64), level)
    return out


def edit(
    prior: Prior,
    decoder: Decoder,
    rows: AnyArray,
    mixes: list[Mix],
    negatives: list[Mix],
    scale: float,
    run: Run,
    schedule: Schedule,
    strength: float,
) -> AnyArray:
    """Images (n, ...) of rows (n, d) that are noised, and cleaned as their prompts say; see `LinearDiffusion.edit`."""
    z = decoder.encoder.encode(rows)
    if strength == 0.0:
        return decoder.image.images(decoder.decode(z))
    # Noise of its own: what is edited may be a sample of the same seed.
    entropy, heaviest = derived(run.entropy, EDITS), np.array([mix[0][0] for mix in mixes])
    if strength == 1.0:
        run = replace(run, entropy=entropy)
        component = draw_components(entropy, prior, heaviest)
    else:
        exact = run.sampler is None
        levels = [*schedule.at([strength]), CLEAN] if exact else last_levels(run.levels, strength)
        run = replace(run, entropy=entropy, levels=levels)
        z = noised(z, levels[0], entropy)
        component = draw_responsible(prior, heaviest, z, levels[0], entropy)
    kinds, mix_of = distinct(mixes)
    away, away_of = distinct(negatives) if negatives else ([None], None)
    planned = plan(prior, decoder, kinds, mix_of, component, away, away_of, scale)
    if strength == 1.0:
        return draw(planned, run)
    return draw_from(planned, run, z, kept_beside(planned, z, levels[0]))


def kept_beside(planned: Plan, z: Array, level: Level) -> Array:
    """What noised latents (n, k) have off the directions that their components draw, denoised; shape (n, k). ``(I - U
    U') Q diag(alpha D / (alpha^2 D + sigma^2)) Q' (I - U U') (z_t - alpha m)``: the Wiener filter of what all
    components of the prompt share."""
    kept = np.zeros_like(z)
    for piece, rows in by_group(planned.index):
        denoiser, (first, *_) = planned.denoiser(piece), planned.pieces[piece].parts
        if denoiser.basis is None or denoiser.basis.shape[0] == denoiser.basis.shape[1]:
            continue  # there is nothing off them
        law, u = planned.prior.law(first.prompt), denoiser.basis.astype(np.float64)
        gain = level.alpha * law.variances / (level.alpha**2 * law.variances + level.sigma**2)
        mean = denoiser.z0(NOISE)(np.zeros((1, len(u))))  # of nothing but noise the guess is the mean
        x = z[rows] - level.alpha * mean
        x = (x - (x @ u) @ u.T) @ law.basis * gain @ law.basis.T
        kept[rows] = x - (x @ u) @ u.T
    return kept


def draw_responsible(prior: Prior, index: Index, z: Array, level: Level, entropy: int) -> Index:
    """Components drawn by how likely they are, given noised latents: their posterior. So the law of an edit is that of
    the prompt's components together, and without any signal that of its samples. `index` (n,): prompt of each image;
    `z` (n, k). Returns (n,)."""
    # Not even draws, as for samples: what they are even in may be how the pictures are ordered.
    draws, drawn = stream(entropy, STYLES).random(len(index)), np.empty(len(index), np.intp)
    for j, rows in by_group(index):
        below = np.cumsum(prior.components(j).responsibilities(z[rows], level), axis=1)
        chosen = (below <= draws[rows, None]).sum(axis=1)
        drawn[rows] = np.minimum(chosen, below.shape[1] - 1)
    return drawn
