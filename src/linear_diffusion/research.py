"""What neural diffusion models only approximate, exactly: references for research, as functions of a linear denoiser.

    E[z | z_t] = A_t z_t + b_t,      z_s = F z_t + f,      law of a run = N(m, R R'),      all known in closed form

Every function takes a denoiser on latents, ``model.denoiser("7")`` for one prompt of a fitted model, or any Gaussian by
`gaussian`; levels come from `noise_levels`. Maps are `AffineMap`: ``matrix``, ``shift``, and a call on latents.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .denoiser.affine import AffineMap
from .denoiser.gaussian import GaussianDenoiser, LinearDenoiser, in_latent
from .guidance import GuidedDenoiser, check_scale
from .noise import CLEAN, Level, Schedule, find_schedule, start_std
from .sampler import SAMPLERS, Sampler, Step, check_eta, choose_levels, compile_law, compile_map, find_sampler
from .utils.types import MOST, Array, number

__all__ = [
    "Level",
    "Sampler",
    "SamplerBias",
    "Schedule",
    "Step",
    "denoiser_map",
    "denoiser_r2",
    "denoiser_spectrum",
    "flow_map",
    "gaussian",
    "guided",
    "noise_levels",
    "sampler_bias",
    "sampler_law",
]


def gaussian(mean: Any, covariance: Any) -> GaussianDenoiser:
    """The exact denoiser of any Gaussian.

    Parameters
    ----------
    mean : array of shape (k,)
    covariance : array of shape (k, k)

    Returns
    -------
    GaussianDenoiser
        With ``mean`` (k,), eigenvalues ``variances`` (k,), increasing, and eigenvectors in the columns of ``basis``.

    Examples
    --------
    >>> gaussian([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]]).variances
    array([1., 3.])
    """
    mean, covariance = _array("mean", mean), _array("covariance", covariance)
    if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
        raise ValueError(f"mean has shape {mean.shape} and covariance {covariance.shape}; give (k,) and (k, k).")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.allclose(covariance, covariance.T)):
        raise ValueError("mean and covariance must be finite, and the covariance symmetric.")
    return GaussianDenoiser.from_covariance(mean, covariance)


def noise_levels(schedule: str | Schedule, n_steps: int) -> list[Level]:
    """The n_steps + 1 levels ``(alpha, sigma)`` that a sampler visits, from noise to clean.

    Examples
    --------
    >>> noise_levels("flow", 2)
    [Level(alpha=0.0, sigma=1.0), Level(alpha=0.5, sigma=0.5), Level(alpha=1.0, sigma=0.0)]
    """
    return choose_levels(SAMPLERS["ddim"], find_schedule(schedule), n_steps)


def guided(denoiser: LinearDenoiser, unconditional: LinearDenoiser, guidance_scale: float) -> GuidedDenoiser:
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6) as a denoiser, for `denoiser_map` and `sampler_law`.

    Examples
    --------
    >>> away = guided(gaussian([1.0], [[1.0]]), gaussian([0.0], [[1.0]]), guidance_scale=3.0)
    >>> denoiser_map(away, Level(alpha=0.0, sigma=1.0)).shift
    array([3.])
    """
    return GuidedDenoiser(denoiser, unconditional, check_scale(guidance_scale))


def denoiser_map(denoiser: LinearDenoiser, level: Level) -> AffineMap:
    """The optimal denoiser at any level, ``E[z | z_t] = matrix z_t + shift`` (docs/mathematics.md, "The denoiser").

    Parameters
    ----------
    denoiser : LinearDenoiser
    level : Level
        ``z_t = alpha z + sigma eps``.

    Returns
    -------
    AffineMap
        ``matrix`` (k, k) is ``alpha S (alpha^2 S + sigma^2 I)^-1``, ``shift`` (k,) is ``(I - alpha matrix) mu``.

    Examples
    --------
    >>> z0 = denoiser_map(gaussian([1.0], [[3.0]]), Level(alpha=1.0, sigma=1.0))
    >>> z0.matrix, z0.shift, z0(np.array([[5.0]]))
    (array([[0.75]]), array([0.25]), array([[4.]]))
    """
    return in_latent(denoiser.z0_map(check_level(level)), denoiser)


def denoiser_spectrum(denoiser: LinearDenoiser, level: Level) -> tuple[Array, Array]:
    """What a denoiser keeps of the deviation from the mean, by direction: its eigenvalues and eigenvectors.

    Parameters
    ----------
    denoiser : LinearDenoiser
        Symmetric: of a Gaussian, guided or not.
    level : Level

    Returns
    -------
    gains : array of shape (k,)
        Eigenvalues of ``alpha matrix``, the largest first: for a Gaussian of variance v along a direction the Wiener
        gain ``alpha^2 v / (alpha^2 v + sigma^2)``, from 0 to 1.
    directions : array of shape (k, k)
        Eigenvectors in columns.

    Examples
    --------
    >>> gains, _ = denoiser_spectrum(gaussian([0.0, 0.0], np.diag([3.0, 1.0])), Level(alpha=1.0, sigma=1.0))
    >>> gains
    array([0.75, 0.5 ])
    """
    matrix = check_level(level).alpha * denoiser_map(denoiser, level).matrix
    if not np.allclose(matrix, matrix.T):
        raise ValueError(
            "the denoiser is not symmetric, as those of sampled training are; its eigenvalues are no gains."
        )
    gains, directions = np.linalg.eigh(matrix)
    return gains[::-1], directions[:, ::-1]


def denoiser_r2(denoiser: LinearDenoiser, levels: list[Level], latents: Any = None) -> Array:
    """How much of the noise a denoiser predicts at each level, ``R^2 = 1 - E|eps - eps_hat|^2 / E|eps|^2``.

    Without latents, of images drawn from the denoiser's own Gaussian: ``tr(sigma^2 (alpha^2 S + sigma^2 I)^-1) / k``.
    Nothing is drawn in either case. The denoiser is affine, so the average over noise is known.

    Parameters
    ----------
    denoiser : LinearDenoiser
    levels : list of Level
        Such as `noise_levels` gives.
    latents : array of shape (n, k), optional
        Of given images, such as ``model.transform(held_out)``. Needed where the denoiser is not that of a Gaussian.

    Returns
    -------
    array of shape (len(levels),)
        At most 1; below 0 where the prediction is worse than none. NaN at levels without noise.

    Examples
    --------
    >>> prior = gaussian([0.0, 0.0], np.diag([3.0, 1.0]))
    >>> denoiser_r2(prior, [(0.0, 1.0), (1.0, 1.0)])
    array([1.   , 0.375])
    >>> denoiser_r2(prior, [(1.0, 1.0)], latents=[[2.0, 1.0], [-2.0, 1.0]])
    array([0.34375])
    """
    if latents is not None:
        z = _array("latents", latents)
        if z.ndim != 2 or not len(z) or not (np.abs(z) < MOST).all():
            raise ValueError(f"latents has shape {z.shape}; give (n, k) numbers below {MOST:g}, a row for each image.")
        mean, covariance = z.mean(axis=0), np.atleast_2d(np.cov(z.T, bias=True))
    elif isinstance(denoiser, GaussianDenoiser):
        mean, covariance = denoiser.mean, denoiser.covariance
    else:
        raise TypeError(f"a {type(denoiser).__name__} is not of a Gaussian, so say which images: latents=(n, k).")
    found = []
    for alpha, sigma in _levels(levels):
        z0 = denoiser_map(denoiser, Level(alpha, sigma))
        if z0.k != len(mean):
            raise ValueError(f"latents have {len(mean)} columns, and the denoiser {z0.k} dimensions; give the same.")
        if sigma == 0.0:
            found.append(np.nan)
            continue
        # eps - eps_hat = alpha matrix eps - alpha / sigma (keep z - shift), its two parts independent
        keep = np.eye(z0.k) - alpha * z0.matrix
        off = keep @ mean - z0.shift
        signal = np.einsum("ij,jk,ik", keep, covariance, keep) + off @ off
        found.append(1 - (alpha**2 * (z0.matrix**2).sum() + (alpha / sigma) ** 2 * signal) / z0.k)
    return np.array(found)


def flow_map(denoiser: GaussianDenoiser, t: Level, s: Level) -> AffineMap:
    """The exact solution of the probability-flow ODE between any two levels, in either direction.

    See docs/mathematics.md, "The exact sampler".

    It carries the law of z_t to that of z_s: along each eigenvector
    ``(z_s - alpha_s mu) / (z_t - alpha_t mu) = sqrt((alpha_s^2 v + sigma_s^2) / (alpha_t^2 v + sigma_t^2))``.

    Parameters
    ----------
    denoiser : GaussianDenoiser
    t, s : Level
        From, and to.

    Returns
    -------
    AffineMap
        Full matrix (k, k), on latents.

    Examples
    --------
    >>> prior = gaussian([2.0], [[4.0]])
    >>> noise = flow_map(prior, Level(1.0, 0.0), Level(0.0, 1.0))     # an image to noise, and back
    >>> noise(np.array([[6.0]])), flow_map(prior, Level(0.0, 1.0), Level(1.0, 0.0))(noise(np.array([[6.0]])))
    (array([[2.]]), array([[6.]]))
    """
    if not isinstance(denoiser, GaussianDenoiser):
        raise TypeError(f"the flow is known for a GaussianDenoiser, not for {type(denoiser).__name__}.")
    return in_latent(denoiser.flow_map(check_level(t), check_level(s)), denoiser)


def sampler_law(
    denoiser: LinearDenoiser, sampler: str | Sampler, levels: list[Level], eta: float = 0.0
) -> tuple[Array, Array]:
    """Mean and covariance of what a sampler draws, from the field's start, without Monte Carlo.

    See docs/mathematics.md, "Samplers".

    Parameters
    ----------
    denoiser : LinearDenoiser
        Of one prompt; guided or not.
    sampler : str
        "ddpm", "ddim", "euler", "heun", "dpmpp_2m" or "one-step".
    levels : list of Level
        From noise to clean, such as `noise_levels` gives.
    eta : float, default=0.0
        DDIM's.

    Returns
    -------
    mean : array of shape (k,)
    covariance : array of shape (k, k)

    Examples
    --------
    >>> prior = gaussian([1.0], [[4.0]])
    >>> mean, covariance = sampler_law(prior, "heun", noise_levels("flow", 1000))
    >>> mean.round(3), covariance.round(3)
    (array([1.]), array([[4.]]))
    """
    run, levels = _run(sampler, levels, eta)
    law = in_latent(compile_law(run, levels, denoiser, eta), denoiser)
    return law.shift, law.matrix @ law.matrix.T


@dataclass(frozen=True)
class SamplerBias:
    """The exact errors of a sampler, by eigenmode of a Gaussian, as shares of the mode's own variance.

    Parameters
    ----------
    variances : array of shape (k,)
        True variance of each mode.
    steps : array of shape (k,)
        What the steps cost: relative error of the variance, from the true marginal at the first level.
    start : array of shape (k,)
        What the start costs: by the exact flow, from the field's start in the place of the true marginal.
    mean : array of shape (k,)
        Error of the mean of a whole run, in standard deviations of the mode (0 for a mode without variance).
    """

    variances: Array
    steps: Array
    start: Array
    mean: Array

    def share(self, errors: Array) -> float:
        """Variance that is wrong, over all modes, as a share of the whole."""
        return float((np.abs(errors) * self.variances).sum() / self.variances.sum())


def sampler_bias(
    denoiser: GaussianDenoiser, sampler: str | Sampler, levels: list[Level], eta: float = 0.0
) -> SamplerBias:
    """The exact bias of a sampler on a schedule: a whole run is one affine map, so nothing is drawn.

    Parameters
    ----------
    denoiser : GaussianDenoiser
        Of one prompt; variances above zero.
    sampler : str
        As in `sampler_law`.
    levels : list of Level
    eta : float, default=0.0
        DDIM's.

    Returns
    -------
    SamplerBias

    Raises
    ------
    TypeError, ValueError
        For a denoiser of no Gaussian, or one with a mode of no variance.

    Examples
    --------
    >>> prior = gaussian([0.0, 0.0], np.diag([4.0, 0.01]))
    >>> bias = sampler_bias(prior, "ddim", noise_levels("cosine", 50))
    >>> bias.variances, bias.steps.round(3), round(bias.share(bias.steps), 3)
    (array([0.01, 4.  ]), array([-0.254, -0.06 ]), 0.06)
    """
    if not isinstance(denoiser, GaussianDenoiser):
        raise TypeError(f"the bias is known for a GaussianDenoiser, not for {type(denoiser).__name__}.")
    if not (denoiser.variances > 0).all():
        raise ValueError("a mode has no variance, so that its errors have no scale; fit with a ridge above 0.")
    run, levels = _run(sampler, levels, eta)
    flow = compile_map(run, levels, denoiser, eta)
    variances, first = denoiser.variances, denoiser.marginal(levels[0])
    noise = 0.0 if flow.factor is None else flow.factor**2
    steps = ((flow.matrix * first.matrix) ** 2 + noise) / variances - 1
    start = (denoiser.flow_map(levels[0], CLEAN).matrix * start_std(levels[0])) ** 2 / variances - 1
    mean = (flow.shift - denoiser.marginal(CLEAN).shift) / np.sqrt(variances)
    return SamplerBias(variances, steps, start, mean)


def _array(name: str, value: Any) -> Array:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name}={value!r} must be an array of real numbers.") from None


def check_level(level: Any) -> Level:
    """A pair (alpha, sigma), both >= 0 and not both 0."""
    pair = [number(part) for part in level] if isinstance(level, (tuple, list, np.ndarray)) else []
    alpha, sigma = pair if len(pair) == 2 else (np.nan, np.nan)
    if not (0.0 <= alpha < np.inf and 0.0 <= sigma < np.inf and alpha + sigma > 0.0):
        raise ValueError(f"level={level!r} must be (alpha, sigma), finite, >= 0 and not both 0.")
    return Level(alpha, sigma)


def _levels(levels: Any) -> list[Level]:
    return [check_level(level) for level in (levels if isinstance(levels, (tuple, list, np.ndarray)) else [])]


def _run(sampler: Any, levels: Any, eta: float) -> tuple[Sampler, list[Level]]:
    """A sampler, and its levels, each with less noise than the one before."""
    found = find_sampler(sampler)
    levels = _levels(levels)
    if len(levels) < 2:
        raise ValueError(f"levels has {len(levels)} entries; a run goes from one level to another at least.")
    check_eta(eta, found)
    for t, s in pairwise(levels):
        if not t.sigma * s.alpha > s.sigma * t.alpha:
            raise ValueError(f"levels go from {tuple(t)} to {tuple(s)}; each must have less noise than the one before.")
    return found, levels
