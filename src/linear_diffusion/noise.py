"""Noising: z -> z_t, and the schedules that say how much.

    z_t = alpha_t z + sigma_t eps,   eps ~ N(0, I),   t from 0 (clean) to 1 (noise)

A schedule is a path (alpha_t, sigma_t); nothing is learned here, and the model reads it only when sampling.
Variance-preserving ones (VP) keep alpha^2 + sigma^2 = 1, variance-exploding ones (VE) keep alpha = 1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .utils.types import Array


class Level(NamedTuple):
    """A noise level: z_t = alpha z + sigma eps."""

    alpha: float
    sigma: float


CLEAN = Level(1.0, 0.0)


def add_noise(z: Array, eps: Array, level: Level) -> Array:
    """Noise a clean latent: ``alpha_t z + sigma_t eps``, shapes (n, k)."""
    return level.alpha * z + level.sigma * eps


@dataclass(frozen=True)
class Schedule:
    """A path of noise levels from clean (t = 0) to noise (t = 1).

    Parameters
    ----------
    name : str
    path : callable
        Times in [0, 1], shape (n,), to ``(alpha, sigma)``, each of shape (n,).
    last : float or None
        Time of the last noisy level; None puts it one step before t = 0.
    n_steps : int or None
        The number of steps that belongs to the schedule; None leaves it to the sampler.

    Examples
    --------
    >>> SCHEDULES["flow"].levels(2)
    [Level(alpha=0.0, sigma=1.0), Level(alpha=0.5, sigma=0.5), Level(alpha=1.0, sigma=0.0)]
    """

    name: str
    path: Callable[[Array], tuple[Array, Array]]
    last: float | None = None
    n_steps: int | None = None

    def at(self, times: Any) -> list[Level]:
        """Noise levels at given times in [0, 1]."""
        alphas, sigmas = self.path(np.asarray(times, dtype=np.float64))
        return [Level(float(a), float(s)) for a, s in zip(alphas, sigmas, strict=True)]

    def levels(self, n_steps: int) -> list[Level]:
        """The n_steps + 1 levels that a sampler visits, from high noise down to clean (1, 0)."""
        return [*self.at(np.linspace(1.0, 1.0 / n_steps if self.last is None else self.last, n_steps)), CLEAN]

    def steps(self, n_steps: int) -> Iterator[tuple[Level, Level]]:
        """Pairs of levels (t, s), from high noise to low."""
        return pairwise(self.levels(n_steps))


def start_std(level: Level) -> float:
    """Standard deviation of the noise that step samplers start from. As in the field: 1 for variance-preserving and
    flow schedules, sigma_T for variance-exploding ones (alpha = 1)."""
    return level.sigma if level.alpha == 1.0 else 1.0


def _from_betas(betas: Array) -> Callable[[Array], tuple[Array, Array]]:
    """The path through alpha_bar_i = prod (1 - beta) at t = i / n, log-linear in between. With n steps it visits the
    native levels of DDPM (Ho et al. 2020, eq. 4) exactly."""
    knots = np.concatenate([[0.0], np.cumsum(np.log1p(-betas))])

    def path(t: Array) -> tuple[Array, Array]:
        log_alpha_bar = np.interp(t * len(betas), np.arange(len(knots)), knots)
        return np.exp(0.5 * log_alpha_bar), np.sqrt(-np.expm1(log_alpha_bar))

    return path


def _cosine(t: Array) -> tuple[Array, Array]:
    """Nichol and Dhariwal (2021), eq. 17: alpha_bar = cos^2 of an angle, over its value at t = 0. Their clipping of
    beta, which keeps 1 / alpha finite, is not needed here: alpha_T is 0."""
    offset = 0.008
    cos = np.cos((t + offset) / (1 + offset) * np.pi / 2)
    alpha = np.where(t == 1.0, 0.0, cos / np.cos(offset / (1 + offset) * np.pi / 2))
    return alpha, np.sqrt(1.0 - alpha**2)


def _karras(t: Array) -> tuple[Array, Array]:
    """Karras et al. (2022), eq. 5: sigma from 80 to 0.002, evenly in sigma^(1/7)."""
    low, high, rho = 0.002 ** (1 / 7), 80.0 ** (1 / 7), 7
    return np.ones_like(t), (low + t * (high - low)) ** rho


def _flow(t: Array) -> tuple[Array, Array]:
    """Rectified flow (Liu et al. 2023): a straight line from image to noise."""
    return 1.0 - t, t.copy()


def _one_step(t: Array) -> tuple[Array, Array]:
    """The article's: N(0, I) is added once to the latent as it is, and subtracted once."""
    return np.ones_like(t), t.copy()


# The first three are diffusers' beta_schedule of those names, with its defaults.
SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("linear", _from_betas(np.linspace(1e-4, 0.02, 1000))),
        Schedule("scaled_linear", _from_betas(np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2)),
        Schedule("sigmoid", _from_betas(1e-4 + (0.02 - 1e-4) / (1 + np.exp(-np.linspace(-6.0, 6.0, 1000))))),
        Schedule("cosine", _cosine),
        Schedule("karras", _karras, last=0.0),
        Schedule("flow", _flow),
        Schedule("one-step", _one_step, n_steps=1),
    )
}


def find_schedule(schedule: Any) -> Schedule:
    """A schedule by its name, or as it is."""
    if isinstance(schedule, Schedule):
        return schedule
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} must be a Schedule, or one of {', '.join(map(repr, SCHEDULES))}.")
    return SCHEDULES[schedule]
