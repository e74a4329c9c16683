"""Classifier-free guidance (Ho and Salimans 2022, eq. 6), with linear denoisers.

    eps = eps_uncond + g (eps_cond - eps_uncond)      z0_hat = z0_uncond + g (z0_cond - z0_uncond)

The two are the same, as the weights sum to 1; the second is finite at alpha = 0. The unconditional branch is the
pooled Gaussian of all training latents, or that of a negative prompt. A guided denoiser is again linear, in full
matrices, because the branches have eigenvectors of their own.

Where a prompt varies more than what it is guided away from, the rule amplifies: images get ever more contrast, and
colours saturate. So samples are `Guided` with the length of ``z0_hat`` kept (Lin, Liu, Li and Yang 2024, "Common
diffusion noise schedules and sample steps are flawed", section 3.4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .denoiser.affine import AffineMap
from .denoiser.gaussian import Denoiser, LinearDenoiser, in_latent
from .exceptions import GuidanceWarning, warn
from .noise import Level
from .utils.types import MOST, Array, Index, number

RUNAWAY = 10.0
"""Total variance of guided samples, over training's, above which a warning is given: where the length of z0_hat is kept
it is about 1 at any scale, so that ten is beyond chance."""


@dataclass(frozen=True)
class GuidedDenoiser:
    """The guided denoiser of one prompt: a linear one, so that a run can be compiled.

    Parameters
    ----------
    cond, uncond : LinearDenoiser
        Of the prompt, and of what it is guided away from.
    scale : float
        g; 1 is the prompt's denoiser itself.

    Examples
    --------
    >>> from linear_diffusion.denoiser.gaussian import GaussianDenoiser
    >>> cond, uncond = (GaussianDenoiser(np.array([mean]), np.ones(1), np.eye(1)) for mean in (1.0, 0.0))
    >>> guided = GuidedDenoiser(cond, uncond, scale=3.0)
    >>> guided.z0_map(Level(alpha=0.0, sigma=1.0))(np.zeros((1, 1)))      # no signal: the guided mean
    array([[3.]])
    """

    cond: LinearDenoiser
    uncond: LinearDenoiser
    scale: float
    basis: None = None
    beside: float = 0.0

    def z0_map(self, level: Level) -> AffineMap:
        """The map from z_t to the guided z0_hat, full matrices on latents."""
        cond, uncond = (in_latent(d.z0_map(level), d) for d in (self.cond, self.uncond))
        return self.scale * cond + (1 - self.scale) * uncond

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The same as a function of latents (n, k)."""
        return self.z0_map(level)


@dataclass(frozen=True)
class Guided:
    """The same for denoisers of any kind, in a loop: it forms no k x k matrix. Where it is rescaled, a scale above 1
    only turns ``z0_hat``, whose length stays that of the prompt's own (Lin et al. 2024, eq. 15 and 16, with phi = 1).
    Latents are about the mean of all images, so their length is the contrast."""

    cond: Denoiser
    uncond: Denoiser
    scale: float
    rescaled: bool = False

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to the guided z0_hat."""
        cond, uncond = self.cond.z0(level), self.uncond.z0(level)

        def z0(z: Array) -> Array:
            own = cond(z)
            guided: Array = self.scale * own + (1 - self.scale) * uncond(z)
            if not self.rescaled or self.scale <= 1:
                return guided
            length = np.linalg.norm(guided, axis=1, keepdims=True)
            kept = np.linalg.norm(own, axis=1, keepdims=True)
            guided *= np.divide(kept, length, out=np.ones_like(length), where=length > 0)
            return guided

        return z0


@dataclass(frozen=True)
class Grouped:
    """One denoiser for images of many prompts, which one loop draws together. `parts`: each image is in one."""

    parts: Sequence[tuple[Index | slice, Denoiser]]

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat, each row by its own denoiser."""
        maps = [(rows, denoiser.z0(level)) for rows, denoiser in self.parts]

        def z0(z: Array) -> Array:
            out = np.empty_like(z)
            for rows, apply in maps:
                out[rows] = apply(z[rows])
            return out

        return z0


def check_scale(guidance_scale: Any, negative_prompts: Any = None) -> float:
    """The guidance scale, a finite number >= 0; negative prompts need one that is not 1."""
    if not 0 <= number(guidance_scale) < MOST:
        raise ValueError(f"guidance_scale={guidance_scale!r} must be a number from 0 to {MOST:g}; 1 is no guidance.")
    if negative_prompts is not None and guidance_scale == 1:
        raise ValueError(
            f"negative_prompts={negative_prompts!r} change nothing at guidance_scale=1, which is no guidance; "
            "give a larger one, such as 2."
        )
    return float(guidance_scale)


def warn_of_runaway(ratio: float, prompt: str, scale: float) -> None:
    """Warn, where the package was called, if total variance over training's is above `RUNAWAY` (or no number)."""
    if not ratio <= RUNAWAY:
        warn(
            f"guidance_scale={scale:g} makes samples of prompt {prompt} run away: their variance is {ratio:.3g} times "
            "that of training; give a scale nearer to 1, or another negative prompt.",
            GuidanceWarning,
        )
