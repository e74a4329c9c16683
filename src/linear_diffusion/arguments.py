"""Arguments of the estimator, checked before work starts: what was received, what is allowed, what to do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .denoiser.prior import Prior
from .draw import Run, bytes_to_draw
from .exceptions import NotEnoughMemoryError, count
from .image.checks import KINDS, as_array, check_images
from .image.decoder import Decoder
from .noise import Level, Schedule
from .sampler import SAMPLERS, Sampler, check_eta, choose_levels, find_sampler
from .text.prompts import listed
from .utils.memory import available_memory, readable
from .utils.streams import entropy_of
from .utils.types import MOST, AnyArray, whole


def read_images(estimator: Any, X: Any, shape: tuple[int, ...] | None = None) -> AnyArray:
    """Images as an array of a known kind, checked as scikit-learn does. `estimator`: whose ``n_features_in_`` is set
    where no shape is known; `X` (n, h, w); `shape`: of the images that the estimator was fitted on."""
    X = as_array(X)
    if shape is not None and X.ndim > 1 and X.shape == shape:
        raise ValueError(f"X is one image, of shape {X.shape}; give several, or one as images[[0]].")
    if X.ndim < 3:
        return validate_data(estimator, X, reset=shape is None, dtype=KINDS)
    X = check_images(X, estimator)
    if shape is None:
        estimator.n_features_in_ = int(np.prod(X.shape[1:]))
        estimator.__dict__.pop("feature_names_in_", None)
    elif X.shape[1:] != shape:
        raise ValueError(f"X has images of shape {X.shape[1:]}; the model was fitted on {shape}.")
    return X


def read_run(
    schedule: Schedule,
    sampler: Any,
    n_steps: int | None,
    eta: Any,
    random_states: Sequence[Any],
    prior: Prior,
    *,
    guided: bool,
    of_trajectory: bool = False,
) -> Run:
    """How a sampler runs, from the arguments of a call. `n_steps`, `eta`: as in `LinearDiffusion.sample`."""
    if sampler is None:
        sampler = usual_sampler(schedule, prior, guided=guided)
    if isinstance(sampler, str) and sampler == "exact":
        if not prior.has_density:
            raise ValueError('sampler="exact" needs training="exact"; this model was fitted with training="sampled".')
        if guided:
            raise ValueError(
                'sampler="exact" has no closed form with guidance, whose two branches do not share eigenvectors; leave '
                'it out, or choose steps with sampler="ddim".'
            )
        found: Sampler | None = None
    elif isinstance(sampler, str) and sampler not in SAMPLERS:
        raise ValueError(
            f"sampler={sampler!r} must be one of {', '.join(map(repr, ('exact', *SAMPLERS)))}, or a Sampler."
        )
    else:
        found = find_sampler(sampler)
    levels: list[Level] = choose_levels(found, schedule, n_steps, of_trajectory=of_trajectory)
    state = random_states[1] if random_states[0] is None else random_states[0]
    return Run(found, levels, check_eta(eta, found), entropy_of(state))


def usual_sampler(schedule: Schedule, prior: Prior, *, guided: bool) -> str:
    """Which sampler runs where none is asked for."""
    if schedule.name == "one-step":
        return "one-step"
    return "exact" if prior.has_density and not guided else "ddim"


def check_n_samples(n_samples: Any, otherwise: str) -> None:
    """A number of images, or None."""
    if n_samples is not None and not 1 <= whole(n_samples) < MOST:
        raise ValueError(f"n_samples={n_samples!r} must be a whole number >= 1, or None{otherwise}.")


def require_memory_to_draw(
    prior: Prior, decoder: Decoder, n: int | None, prompts: Any, n_pictures: int, at_once: int | None = None
) -> None:
    """Refuse more images than memory holds, before anything is drawn for them; all, or so many at once."""
    n_prompts = len(listed(prompts)) if hasattr(prompts, "__len__") else 0
    n_images = int(n or n_prompts or 1)
    n_images = n_images if at_once is None else min(n_images, at_once)
    needed = bytes_to_draw(n_images, n_pictures, decoder, *prior.size)
    available = available_memory()
    if available is not None and needed > available:
        raise NotEnoughMemoryError(
            f"drawing {count(n_images, 'image')} of shape {decoder.image.shape} takes {readable(needed)}, and "
            f"{readable(available)} are available; sample in parts, with another random_state each."
        )
