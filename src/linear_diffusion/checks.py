"""Arguments checked before work starts: what was received, what is allowed, what to do."""

from math import nan
from numbers import Real
from typing import Any

import numpy as np

from ._types import AnyArray, Index, number, whole
from .exceptions import warn
from .noise import Level, Schedule
from .sampler import SAMPLERS
from .text import compose

_MOST_STEPS = 1_000_000
_LONG = 1000
"""Characters beyond which strings stay Python objects, since in an array all are as wide as the longest."""

_MOST = 1e307
"""Bounds beyond this are further apart than a float can say."""


def check_range(pixel_range: Any) -> Any:
    if isinstance(pixel_range, (tuple, list)):
        low, high = map(number, pixel_range) if len(pixel_range) == 2 else (nan, nan)
        if not -_MOST <= low < high <= _MOST:
            raise ValueError(
                f'pixel_range={pixel_range!r} must be "auto", None, or two numbers (low, high) within {_MOST:g}.'
            )
    return pixel_range


def check_prompts(y: Any, n: int) -> tuple[AnyArray, Index]:
    """Distinct prompts, and the position of each image's.

    Numbers stay numbers and strings strings, also where Python objects hold them; spellings of one string in Unicode
    (NFC, NFD) are one prompt.
    """
    y = np.full(n, "") if y is None else _as_labels(y)
    if y.shape not in ((n,), (n, 1)):
        raise ValueError(f"y has shape {y.shape}; give one prompt for each of the {n} images, shape ({n},).")
    classes, index = np.unique(y.ravel(), return_inverse=True)
    if classes.dtype.kind in "UO":
        for prompt in classes.tolist():
            _check_unicode(prompt)
        composed = [compose(p) for p in classes.tolist()]
        objects = classes.dtype == object
        if objects or composed != classes.tolist():
            classes, place = np.unique(np.array(composed, object if objects else str), return_inverse=True)
            index = place[index]
    return classes, index


def warn_of_single_images(classes: AnyArray, index: Index) -> None:
    """Say which prompts have one image, which is all that is sampled for them."""
    single = classes[np.bincount(index) == 1].tolist()
    if single:
        named = ", ".join(f"{prompt!r:.60}" for prompt in single[:5]) + (", ..." if len(single) > 5 else "")
        has, each = ("prompt has", "it") if len(single) == 1 else ("prompts have", "each of them")
        warn(
            f"{len(single)} {has} 1 image only ({named}): what is sampled for {each} is that image. Give more images, "
            'or let prompts share their words with text_encoder="words".',
        )


def warn_of_sampled_training(styles: int, n_draws: int, k: int, classes: AnyArray, index: Index) -> None:
    """Say what sampled training leaves unused, and where it has too few draws for k components."""
    if styles != 1:
        warn(
            f'training="sampled" has one Gaussian for each prompt, so that styles={styles!r} is not used; set styles=1 '
            '(and latent_dim=144, as one_shot does), or training="exact".',
        )
    counts = np.bincount(index) * n_draws
    least = int(counts.min())
    if least < 2 * k:
        warn(
            f'training="sampled" with latent_dim={k} regresses noise on {k} components, for which prompt '
            f"{classes.tolist()[int(counts.argmin())]!r} has {least} noisy latents only; samples will be mostly noise. "
            f"Set latent_dim={max(least // 2, 1)} or less, n_draws={-(-2 * k * n_draws // least)} or more, or "
            'training="exact".',
        )


def _check_unicode(prompt: str) -> None:
    try:
        prompt.encode()
    except UnicodeEncodeError:  # which saving the model would meet after all the work
        raise ValueError(
            f"y has the prompt {prompt!r}, which is no Unicode text, so that no file can hold it."
        ) from None


def _as_labels(given: Any) -> AnyArray:
    """Labels as an array of numbers or strings."""
    listed = isinstance(given, (list, tuple))
    # Through numpy, a list of "a" and 1, or of "a" and NaN, would become strings.
    y: AnyArray = np.array(given, dtype=object) if listed else np.asarray(given)
    if y.dtype.kind in "OT":
        kinds = {type(p) for p in y.ravel().tolist()}
        numbers = all(issubclass(kind, (Real, np.number, np.bool_)) for kind in kinds)
        strange = sorted(k.__name__ for k in kinds if not issubclass(k, (str, Real, np.number, np.bool_)))
        if strange:
            raise ValueError(f"y has prompts of type {strange[0]}; prompts are strings or numbers.")
        if any(p != p for p in y.ravel()):
            raise ValueError("y contains NaN or infinity; prompts are strings or numbers.")
        if not numbers and not all(issubclass(kind, str) for kind in kinds):
            raise ValueError(
                "y mixes strings and numbers, which would be different prompts though they look alike; make all of "
                "them one, for example with [str(label) for label in y]."
            )
        if numbers:
            try:
                exact, y = y.tolist(), np.array(y.tolist())
            except OverflowError:
                exact = None
            if y.tolist() != exact or y.dtype == object:
                raise ValueError("y has numbers that no dtype of numpy holds exactly; make them strings.")
        elif listed and max(map(len, y.ravel().tolist()), default=0) <= _LONG:
            y = np.array(y.tolist(), dtype=str)
    if y.dtype.kind not in "biufUO":
        raise ValueError(f"y has prompts of type {y.dtype.name}; prompts are strings or numbers.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("y contains NaN or infinity; prompts are strings or numbers.")
    return y


def check_levels(name: str, schedule: Schedule, n_steps: int | None, return_trajectory: bool) -> list[Level]:
    """The noise levels that a run visits."""
    if n_steps is not None and not 1 <= whole(n_steps) <= _MOST_STEPS:
        raise ValueError(f"n_steps={n_steps!r} must be a whole number >= 1, or None; at most {_MOST_STEPS:,}.")
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
    if not 0.0 <= number(eta) <= 1.0 or (eta and name != "ddim"):
        raise ValueError(f'eta={eta!r} must be between 0 and 1, and goes with sampler="ddim" only, not {name!r}.')
