"""A code of words in a model's folder: the prompts say the vocabulary, and arrays hold the regressions.

words.<target>.whitening, .weights, and with products .correlations        target: mean, covariance, residual, tones
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ._types import AnyArray
from .conditional import ConditionalGaussian, Regression
from .products import ProductCode
from .text import BagOfWords
from .tone import N_TONES
from .words import Words

Shapes = dict[str, tuple[int, ...]]


def describe(words: Words) -> dict[str, Any]:
    """What the configuration says: whether products are regressed on, and the rank and ridge of each regression."""
    targets = dict(_targets(words))
    return {
        "products": words.gaussian.mean.products is not None,
        "ranks": {name: regression.whitening.shape[1] for name, regression in targets.items()},
        "ridges": {name: r.products.ridge if r.products else 0.0 for name, r in targets.items()},
    }


def words_arrays(words: Words) -> dict[str, AnyArray]:
    """The arrays of a model's file."""
    arrays: dict[str, AnyArray] = {"words.pooled": words.gaussian.pooled}
    for name, regression in _targets(words):
        arrays |= {f"words.{name}.whitening": regression.whitening, f"words.{name}.weights": regression.weights}
        if regression.products:
            arrays[f"words.{name}.correlations"] = regression.products.correlations
    return arrays


def words_shapes(classes: AnyArray, config: dict[str, Any], k: int, n_channels: int, *, tone: bool) -> Shapes:
    """The shapes that those arrays must have.

    Raises
    ------
    ValueError
        If the configuration is none that `describe` makes.
    """
    own: Shapes = {"mean": (k,), "covariance": (k, k), "residual": ()} | (
        {"tones": (n_channels, N_TONES)} if tone else {}
    )
    ranks, ridges = config["ranks"], config["ridges"]
    if not isinstance(config["products"], bool) or set(ranks) != set(own) or set(ridges) != set(own):
        raise ValueError(f"words must have products, true or false, and ranks and ridges of {sorted(own)}")
    n_words = len(BagOfWords(_names(classes)).words)
    longest, shapes = 1 + (len(classes) if config["products"] else n_words), Shapes({"words.pooled": (k, k)})
    for name, shape in own.items():
        if type(ranks[name]) is not int or not 1 <= ranks[name] <= longest or not 0 <= float(ridges[name]) < np.inf:
            raise ValueError(f"words.{name} has rank {ranks[name]!r} and ridge {ridges[name]!r}, which no fit gives")
        shapes[f"words.{name}.whitening"] = (longest, ranks[name])
        shapes[f"words.{name}.weights"] = (ranks[name], *shape)
        if config["products"]:
            shapes[f"words.{name}.correlations"] = (n_words,)
    return shapes


def restored(classes: AnyArray, config: dict[str, Any], arrays: dict[str, AnyArray], ridge: float) -> Words:
    """Words from checked arrays."""
    names = _names(classes)
    text = BagOfWords(names)
    known = text.encode(names)

    def regression(name: str) -> Regression:
        whitening, weights = (arrays[f"words.{name}.{part}"] for part in ("whitening", "weights"))
        if not config["products"]:
            return Regression(None, whitening, weights)
        products = ProductCode(known, arrays[f"words.{name}.correlations"], float(config["ridges"][name]))
        return Regression(products, whitening, weights)

    gaussian = ConditionalGaussian(regression("mean"), regression("covariance"), arrays["words.pooled"], ridge)
    tones = regression("tones") if "tones" in config["ranks"] else None
    return Words(text, names, gaussian, regression("residual"), tones)


def _targets(words: Words) -> Iterator[tuple[str, Regression]]:
    yield from (("mean", words.gaussian.mean), ("covariance", words.gaussian.covariance), ("residual", words.residual))
    if words.tones:
        yield "tones", words.tones


def _names(classes: AnyArray) -> list[str]:
    return [str(prompt) for prompt in classes.tolist()]
