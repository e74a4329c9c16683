"""A code of words in a model's folder: the prompts say the vocabulary, and arrays hold the regressions.

words.<target>.whitening, .weights, .correlations, .ridge    target: mean, covariance, residual, tones
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from ._types import AnyArray
from .conditional import ConditionalGaussian, Regression
from .products import ProductCode
from .text import BagOfWords
from .words import Words

_TARGETS = {"mean": "k", "covariance": "k k", "residual": "", "tones": "c tones"}
"""What is regressed on words, and its axes."""


def words_arrays(words: Words) -> dict[str, Any]:
    """The numbers of a model's file."""
    arrays = {"words.pooled": words.gaussian.pooled, "words.ridge": words.gaussian.ridge}
    targets = words.gaussian.mean, words.gaussian.covariance, words.residual, words.tones
    for name, regression in zip(_TARGETS, targets, strict=True):
        if regression is None:
            continue
        products = cast(ProductCode, regression.products)
        arrays |= {f"words.{name}.whitening": regression.whitening, f"words.{name}.weights": regression.weights}
        arrays |= {f"words.{name}.correlations": products.correlations, f"words.{name}.ridge": products.ridge}
    return arrays


def words_axes(found: Mapping[str, AnyArray]) -> dict[str, str]:
    """The axes that those arrays must have, where there may be tones."""
    axes = {"words.pooled": "k k", "words.ridge": ""}
    for name, shape in _TARGETS.items():
        if name == "tones" and "words.tones.weights" not in found:
            continue
        axes[f"words.{name}.whitening"] = f"1+p rank_{name}"
        axes[f"words.{name}.weights"] = f"rank_{name} {shape}"
        axes |= {f"words.{name}.correlations": "v", f"words.{name}.ridge": ""}
    return axes


def restored(text: BagOfWords, arrays: Mapping[str, AnyArray]) -> Words:
    """Words from arrays of checked shapes.

    Raises
    ------
    ValueError
        If tones are no shares of pixels.
    """
    known = text.encode(text.prompts)

    def regression(name: str) -> Regression:
        parts = ("whitening", "weights", "correlations", "ridge")
        whitening, weights, correlations, ridge = (arrays[f"words.{name}.{part}"] for part in parts)
        return Regression(ProductCode(known, correlations, float(ridge)), whitening, weights)

    mean, covariance, residual = map(regression, ("mean", "covariance", "residual"))
    gaussian = ConditionalGaussian(mean, covariance, arrays["words.pooled"], float(arrays["words.ridge"]))
    tones = regression("tones") if "words.tones.weights" in arrays else None
    if tones and not np.allclose(tones(known).sum(axis=-1), 1.0, rtol=0, atol=1e-3):
        raise ValueError("the numbers of array 'words.tones.weights' are none that a model has")
    return Words(text, text.prompts, gaussian, residual, tones)


def reach(words: Words) -> float:
    """How large latents of the words' prompts can be, in mean and standard deviation."""
    mean, covariance = (_largest(r) for r in (words.gaussian.mean, words.gaussian.covariance))
    k = len(words.gaussian.pooled)
    return mean + float(np.sqrt(k * (covariance + np.abs(words.gaussian.pooled).max()) + words.gaussian.ridge))


def _largest(regression: Regression) -> float:
    """A bound of what a regression says of any code, whose entries are between -1 and 1."""
    weights = np.abs(regression.weights).reshape(len(regression.weights), -1).max(axis=1, initial=0.0)
    return float(np.abs(regression.whitening).sum(axis=0) @ weights)
