"""Arguments checked before work starts: what was received, what is allowed, what to do."""

from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np

from ._types import AnyArray, Index
from .noise import Level, Schedule
from .sampler import SAMPLERS


def check_range(pixel_range: Any) -> Any:
    if isinstance(pixel_range, (tuple, list)):
        numbers = len(pixel_range) == 2 and all(isinstance(v, Real) and isfinite(v) for v in pixel_range)
        if not numbers or not pixel_range[0] < pixel_range[1]:
            raise ValueError(f'pixel_range={pixel_range!r} must be "auto", None, or two finite numbers (low, high).')
    return pixel_range


def check_prompts(y: Any, n: int) -> tuple[AnyArray, Index]:
    """Distinct prompts, and the position of each image's."""
    y = np.full(n, "") if y is None else np.asarray(y)
    if y.shape not in ((n,), (n, 1)):
        raise ValueError(f"y has shape {y.shape}; give one prompt for each of the {n} images, shape ({n},).")
    y = y.ravel()
    if y.dtype == object:
        strange = [type(p).__name__ for p in y if not isinstance(p, (str, Real))]
        finite = all(isfinite(p) for p in y if isinstance(p, Real))
        if not strange and finite and not all(isinstance(p, str) for p in y):
            y = y.astype(str)
    else:
        strange = [] if y.dtype.kind in "biufU" else [y.dtype.name]
        finite = y.dtype.kind != "f" or bool(np.isfinite(y).all())
    if not finite:
        raise ValueError("y contains NaN or infinity; prompts are strings or labels.")
    if strange:
        raise ValueError(f"y has prompts of type {strange[0]}; prompts are strings or labels.")
    classes, index = np.unique(y, return_inverse=True)
    return classes, index


def check_levels(name: str, schedule: Schedule, n_steps: int | None, return_trajectory: bool) -> list[Level]:
    """The noise levels that a run visits."""
    if n_steps is not None and (not isinstance(n_steps, Integral) or isinstance(n_steps, bool) or n_steps < 1):
        raise ValueError(f"n_steps={n_steps!r} must be a whole number >= 1, or None.")
    if name == "exact" and n_steps is not None and not return_trajectory:
        raise ValueError(
            f'n_steps={n_steps} means nothing to sampler="exact", the limit of infinitely many steps; '
            'leave it out, or choose steps with sampler="ddim".'
        )
    usual = schedule.n_steps or (SAMPLERS[name].n_steps if name in SAMPLERS else 50)
    if name == "one-step" and n_steps not in (None, 1):
        raise ValueError(f'n_steps={n_steps} must be 1 for sampler="one-step"; choose steps with sampler="ddim".')
    return schedule.levels(int(n_steps or (1 if name == "one-step" else usual)))


def check_eta(eta: Any, name: str) -> None:
    """DDIM's share of noise, which other samplers do not have."""
    if not (isinstance(eta, Real) and 0.0 <= float(eta) <= 1.0) or (eta and name != "ddim"):
        raise ValueError(f'eta={eta!r} must be between 0 and 1, and goes with sampler="ddim" only, not {name!r}.')
