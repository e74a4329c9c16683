"""Pictures of an evaluation: samples beside real images, and those nearest to training beside what they resemble."""

from typing import Any

import numpy as np

from .. import pictures
from ..utils.types import AnyArray, Index
from .usefulness import take_each

_PROMPTS, _EACH = 10, 10
"""Prompts, and images of each, that are shown at most."""


def draw(
    model: Any,
    train: tuple[AnyArray, AnyArray],
    test: tuple[AnyArray, AnyArray],
    samples: AnyArray,
    pairs: tuple[Index, Index],
    seed: int,
) -> dict[str, AnyArray]:
    """Titles and pictures; none where the model's arrays are no images.

    Parameters
    ----------
    model : what samples
    train, test : (images, prompts)
    samples : array of shape (n, ...)
    pairs : positions of samples, and of the training images nearest to them
    seed : int
        Of the samples and held-out images that are shown.

    Returns
    -------
    dict of title to array (H, W) or (H, W, 3), uint8
    """
    try:
        pictures.as_images(samples[:0])
    except ValueError:
        return {}
    bounds = getattr(getattr(model, "_image", None), "pixel_range", None)
    return {
        **_samples_and_real(model, test, bounds, seed),
        "The samples nearest to training images (above) and these images (below)": pictures.grid(
            np.concatenate([samples[pairs[0]], train[0][pairs[1]]]),
            len(pairs[0]),
            pixel_range=bounds,
            labels=["sample", "training"],
            captions=[*[""] * len(pairs[0]), *train[1][pairs[1]]],
        ),
    }


def _samples_and_real(
    model: Any, test: tuple[AnyArray, AnyArray], bounds: tuple[float, float] | None, seed: int
) -> dict[str, AnyArray]:
    known = np.isin(test[1], [str(p) for p in getattr(model, "classes_", test[1])])
    names = np.unique(test[1][known])[:_PROMPTS]
    if not len(names):
        return {}
    drawn, _ = model.sample(prompts=np.repeat(names, _EACH), random_state=seed)
    chosen = take_each(test[1], _EACH, seed)
    real = [test[0][chosen[test[1][chosen] == name]] for name in names]
    labels = names.tolist()
    return {
        "Samples": pictures.sheet(drawn, labels, pixel_range=bounds),
        "Held-out images": pictures.sheet(real, labels, pixel_range=bounds),
    }
