"""Samplers: noise -> z_0, as coefficients of a step.

    z_s = a z_t + b z0_hat(z_t) + noise eps      and, for some, the last z0_hat or one at a predicted point

Coefficients depend on the levels t and s alone, so every schedule goes with every sampler. Steps are written
once and applied to latents (`trajectory`, a loop) or to affine maps (`compile_map`): a thousand steps are then one map.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import expm1, inf, log, sqrt
from typing import Any, TypeVar

import numpy as np

from .denoiser.affine import AffineMap
from .denoiser.gaussian import Denoiser, GaussianDenoiser, LinearDenoiser, to_basis
from .noise import CLEAN, Level, Schedule, start_std
from .utils.types import Array, number, whole

_MOST_STEPS = 1_000_000

Z = TypeVar("Z", Array, AffineMap)


@dataclass(frozen=True)
class Step:
    """``z_s = z z_t + z0 z0_hat + previous z0_hat(last step) + predicted z0_hat(ddim's z_s) + noise eps``."""

    z: float
    z0: float
    noise: float = 0.0
    previous: float = 0.0
    predicted: float = 0.0


@dataclass(frozen=True)
class Sampler:
    """A sampler by name.

    Parameters
    ----------
    name : str
    step : callable
        ``(t, s, u, eta) -> Step``: levels from t to s; u is the level before t, or None at the first step; eta is
        the share of DDPM's noise that DDIM adds.
    n_steps : int
        The usual number of steps.
    """

    name: str
    step: Callable[[Level, Level, Level | None, float], Step]
    n_steps: int


def ddim(t: Level, s: Level, u: Level | None = None, eta: float = 0.0) -> Step:
    """DDIM (Song et al. 2021, eq. 12): keep the predicted noise, or renew a share eta of it. With eta = 0 it is Euler's
    method in the variables ``z / alpha`` and ``sigma / alpha``."""
    noise = eta * _posterior_std(t, s)
    keep = sqrt(max(s.sigma**2 - noise**2, 0.0)) / t.sigma  # times eps_hat = (z_t - alpha_t z0_hat) / sigma_t
    return Step(z=keep, z0=s.alpha - t.alpha * keep, noise=noise)


def ddpm(t: Level, s: Level, u: Level | None = None, eta: float = 0.0) -> Step:
    """DDPM (Ho et al. 2020, eq. 7): the posterior of z_s given z_t and z_0 = z0_hat, with its own variance."""
    alpha_ts = t.alpha / s.alpha
    weight = alpha_ts * (s.sigma / t.sigma) ** 2
    return Step(z=weight, z0=s.alpha - t.alpha * weight, noise=_posterior_std(t, s))


def heun(t: Level, s: Level, u: Level | None = None, eta: float = 0.0) -> Step:
    """Heun's method (Karras et al. 2022, algorithm 1): average eps_hat at t and at ddim's z_s. Like EDM, it takes
    ddim's step where one end has no finite ``sigma / alpha`` or no noise."""
    if t.alpha == 0.0 or s.sigma == 0.0:
        return ddim(t, s)
    # x = z / alpha, d = eps_hat: x_s = x_t + h (d_t + d_s) / 2 with h = sigma_s / alpha_s - sigma_t / alpha_t,
    # and d_s = (ddim's z_s - alpha_s z0_hat_s) / sigma_s, where ddim's z_s is itself made of z_t and z0_hat.
    euler = ddim(t, s)
    half = s.alpha * (s.sigma / s.alpha - t.sigma / t.alpha) / 2
    return Step(
        z=s.alpha / t.alpha + half / t.sigma + half * euler.z / s.sigma,
        z0=-half * t.alpha / t.sigma + half * euler.z0 / s.sigma,
        predicted=-half * s.alpha / s.sigma,
    )


def dpmpp_2m(t: Level, s: Level, u: Level | None = None, eta: float = 0.0) -> Step:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): extrapolate z0_hat from this step and the last. The first step,
    and the last one to zero noise, are of first order (ddim's)."""
    if u is None or s.sigma == 0.0:
        return ddim(t, s)
    h = _log_snr(s) - _log_snr(t)
    ahead = h / (2 * (_log_snr(t) - _log_snr(u)))  # 0 after a start at alpha = 0
    b = -s.alpha * expm1(-h)
    return Step(z=s.sigma / t.sigma, z0=b * (1 + ahead), previous=-b * ahead)


def one_step(t: Level, s: Level, u: Level | None = None, eta: float = 0.0) -> Step:
    """The article's: subtract the predicted noise, all at once; what is left is z0_hat."""
    return ddim(t, CLEAN)


SAMPLERS: dict[str, Sampler] = {
    "one-step": Sampler("one-step", one_step, 1),
    "ddpm": Sampler("ddpm", ddpm, 1000),
    "ddim": Sampler("ddim", ddim, 50),
    "euler": Sampler("euler", lambda t, s, u, eta: ddim(t, s), 50),
    "heun": Sampler("heun", heun, 50),
    "dpmpp_2m": Sampler("dpmpp_2m", dpmpp_2m, 50),
}
"""All but "exact", which has no steps: it is the flow's solution, `GaussianDenoiser.flow_map`."""
NOISE = Level(0.0, 1.0)
"""Nothing but noise, N(0, I): where the exact flow starts."""


def run(
    sampler: Sampler,
    levels: Sequence[Level],
    z0_at: Callable[[Level], Callable[[Z], Z]],
    z: Z,
    add_noise: Callable[[Z, float], Z],
    eta: float,
) -> Iterator[Z]:
    """Go down the levels, yielding z after each step: latents (n, k) with `Denoiser.z0`, or maps, to compile, with
    `LinearDenoiser.z0_map`. ``add_noise(z, std)`` is ``z + std eps``, with fresh noise."""
    last_z0: Z | None = None
    for u, (t, s) in zip([None, *levels], pairwise(levels), strict=False):
        step = sampler.step(t, s, u, eta)
        z0 = z0_at(t)(z)
        new = step.z * z + step.z0 * z0
        if step.previous and last_z0 is not None:
            new = new + step.previous * last_z0
        if step.predicted:
            guess = ddim(t, s)
            new = new + step.predicted * z0_at(s)(guess.z * z + guess.z0 * z0)
        z, last_z0 = add_noise(new, step.noise) if step.noise else new, z0
        yield z


def compile_map(sampler: Sampler, levels: Sequence[Level], denoiser: LinearDenoiser, eta: float = 0.0) -> AffineMap:
    """A whole run as one map from z_T to z_0, in the denoiser's coordinates."""
    start = AffineMap.identity(denoiser.z0_map(levels[0]))
    return reduce(lambda _, flow: flow, run(sampler, levels, denoiser.z0_map, start, AffineMap.diffuse, eta))


def compile_law(
    sampler: Sampler | None, levels: Sequence[Level], denoiser: LinearDenoiser, eta: float = 0.0
) -> AffineMap:
    """The law of a run's z_0 as a map from one standard normal eps, in the denoiser's coordinates.

    A deterministic run gives the same z_0 as the loop from the same start; a stochastic one gives the same mean and
    covariance, with one draw in the place of many. No sampler is the exact one, from the true marginal: ``z_0 = mu_c +
    S_c^(1/2) eps`` (docs/mathematics.md, "The exact sampler").
    """
    if sampler is None:
        return denoiser.marginal(CLEAN)  # type: ignore[attr-defined]
    return compile_map(sampler, levels, denoiser, eta).from_noise(start_std(levels[0]))


def adds_noise(sampler: Sampler | None, levels: Sequence[Level], eta: float = 0.0) -> bool:
    """Whether the steps of a run add noise."""
    return sampler is not None and any(sampler.step(t, s, None, eta).noise for t, s in pairwise(levels))


def trajectory(
    sampler: Sampler | None,
    levels: Sequence[Level],
    denoiser: Denoiser,
    z: Array,
    noise: Iterator[Array],
    eta: float = 0.0,
    first: Level = NOISE,
) -> Iterator[Array]:
    """The loop on latents: z (n, k) at the first level, then after each step. It starts from noise of deviation
    `start_std`, and steps that add some take it from ``noise``. No sampler is the exact flow, from z at the level
    ``first``."""
    if sampler is None:
        for level in levels:
            yield denoiser.flow(first, level)(z)  # type: ignore[attr-defined]
        return
    yield z
    yield from run(sampler, levels, denoiser.z0, z, lambda y, std: y + std * next(noise), eta)


def bridge(
    sampler: Sampler,
    levels: Sequence[Level],
    denoiser: GaussianDenoiser,
    eps: Array,
    noise: Callable[[], Iterator[Array]],
    eta: float = 0.0,
) -> tuple[Array, Iterator[Array]]:
    """Noise for a loop of one prompt that ends where its compiled run comes to from eps (n, k): its start, and its
    steps'.

        z_0 = b + sum_i w_i u_i          u_i = u'_i + w_i / |w|^2 (|w| eps - sum_j w_j u'_j)

    Along each eigenvector a run adds up the noise u of its start and steps by weights w; compiled, it draws the sum at
    once, ``|w| eps``. What is drawn here is the noise u given that sum, from noise u' that knows nothing of it
    (Matheron's rule, Doucet 2010). So looking at a loop does not change what comes of it. ``noise`` begins u' anew at
    each call.
    """
    weights, after = [], np.ones_like(denoiser.variances)
    for t, s in reversed(list(pairwise(levels))):
        step = sampler.step(t, s, None, eta)
        weights += [step.noise * after] if step.noise else []
        after = after * (step.z + step.z0 * denoiser.z0_map(t).matrix)
    if not weights:
        return eps, noise()
    w = np.stack([*weights, start_std(levels[0]) * after])[::-1]
    length = np.sqrt((w**2).sum(axis=0))
    w = np.divide(w, length, out=np.zeros_like(w), where=length > 0)
    move = to_basis(denoiser, eps)
    for own, fresh in zip(w, noise(), strict=False):
        move = move - own * to_basis(denoiser, fresh)
    steps = (fresh + (own * move) @ denoiser.basis.T for own, fresh in zip(w, noise(), strict=False))
    return next(steps), steps


def find_sampler(sampler: Any) -> Sampler:
    """A sampler by its name, or as it is."""
    if isinstance(sampler, Sampler):
        return sampler
    if not isinstance(sampler, str) or sampler not in SAMPLERS:
        raise ValueError(f"sampler={sampler!r} must be a Sampler, or one of {', '.join(map(repr, SAMPLERS))}.")
    return SAMPLERS[sampler]


def choose_levels(
    sampler: Sampler | None, schedule: Schedule, n_steps: int | None, *, of_trajectory: bool = False
) -> list[Level]:
    """The noise levels that a run visits, with the number of steps checked. `sampler`: none is "exact", which takes
    steps only to say how many pictures a trajectory has."""
    if n_steps is not None and not 1 <= whole(n_steps) <= _MOST_STEPS:
        raise ValueError(f"n_steps={n_steps!r} must be a whole number >= 1, or None; at most {_MOST_STEPS:,}.")
    if sampler is None and n_steps is not None and not of_trajectory:
        raise ValueError(
            f'n_steps={n_steps} means nothing to sampler="exact", the limit of infinitely many steps; '
            'leave it out, or choose steps with sampler="ddim".'
        )
    one = sampler is not None and sampler.name == "one-step"
    if one and n_steps not in (None, 1):
        raise ValueError(f'n_steps={n_steps} must be 1 for sampler="one-step"; choose steps with sampler="ddim".')
    usual = schedule.n_steps or (sampler.n_steps if sampler else 50)
    return schedule.levels(int(n_steps or (1 if one else usual)))


def check_eta(eta: Any, sampler: Sampler | None) -> float:
    """DDIM's share of noise, which the other samplers do not have."""
    name = sampler.name if sampler else "exact"
    if not 0.0 <= number(eta) <= 1.0 or (eta and name in {"exact", *SAMPLERS} - {"ddim"}):
        raise ValueError(f'eta={eta!r} must be between 0 and 1, and goes with sampler="ddim" only, not {name!r}.')
    return float(eta)


def _posterior_std(t: Level, s: Level) -> float:
    """Standard deviation of z_s given z_t and z_0."""
    alpha_ts = t.alpha / s.alpha
    added = t.sigma**2 - (alpha_ts * s.sigma) ** 2  # the variance that noising from s to t adds
    return sqrt(max(added, 0.0)) * s.sigma / t.sigma


def _log_snr(level: Level) -> float:
    """lambda = log(alpha / sigma)."""
    return -inf if level.alpha == 0.0 else log(level.alpha) - log(level.sigma)
