"""Words: prompts as codes that many prompts share.

    c_w = 1 if the prompt has the word w, else 0         a bag of words
    c = V (vector - mean)                                vectors of a transformer, by principal components

A regression on such a code (`denoiser.conditional`) knows prompts that training never saw, as long as they lie in the
span of those that it saw.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..exceptions import UnknownPromptError
from ..utils.types import Array
from .prompts import nearest, unknown

MOST_DIMENSIONS = 16
"""What the vectors of a transformer are reduced to, by principal components."""
_TOLERANCE = 1e-6
"""Distance from a span, as a share of a code's length, that is rounding."""


class PromptEncoder(Protocol):
    """A code of prompts that knows more prompts than training had."""

    def encode(self, prompts: Sequence[str]) -> Array:
        """Codes, shape (n, q)."""


class BagOfWords:
    """The words of the known prompts, in any order, counted once.

    `prompts`: distinct prompts, of words with white space between.

    >>> text = BagOfWords(["3", "3 bold", "8"])
    >>> text.words, text.encode(["bold 8"])
    (['3', '8', 'bold'], array([[0., 1., 1.]]))
    """

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = list(prompts)
        self.words = sorted({word for prompt in self.prompts for word in prompt.split()})
        self._position = {word: j for j, word in enumerate(self.words)}
        # Rows that span the codes (1, c) of the known prompts.
        _, values, rows = np.linalg.svd(_with_intercept(self._count(self.prompts)), full_matrices=False)
        self._span = rows[values > _TOLERANCE * values[0]]

    def encode(self, prompts: Sequence[str]) -> Array:
        """Codes of prompts, shape (n, n_words). Raises `UnknownPromptError`: if a word is not known, or the prompt is
        no linear combination of known ones: "3 8" where each known prompt has one digit. The message names the word and
        the nearest known one, or the nearest known prompt."""
        for prompt in prompts:
            for word in prompt.split():
                if word not in self._position:
                    raise unknown(f"word {word!r} in prompt {prompt!r}", word, self.words)
        codes = self._count(prompts)
        one_c = _with_intercept(codes)
        off = np.linalg.norm(one_c - one_c @ self._span.T @ self._span, axis=1)
        for j in np.flatnonzero(off > _TOLERANCE * np.linalg.norm(one_c, axis=1)).tolist():
            raise UnknownPromptError(
                f"unknown prompt {prompts[j]!r}: its words are known, but not together: no linear combination of the "
                f"{len(self.prompts)} known prompts has them{self._alike(prompts[j])}."
            )
        return codes

    def _alike(self, prompt: str) -> str:
        """The known prompt that shares most words."""
        words = set(prompt.split())
        shared = [len(words & set(p.split())) / max(len(words | set(p.split())), 1) for p in self.prompts]
        return f"; the nearest is {self.prompts[int(np.argmax(shared))]!r}" if max(shared) > 0 else ""

    def _count(self, prompts: Sequence[str]) -> Array:
        codes = np.zeros((len(prompts), len(self.words)))
        for j, prompt in enumerate(prompts):
            codes[j, [self._position[word] for word in prompt.split()]] = 1.0
        return codes


class TransformedPrompts:
    """Vectors that a transformer of strings makes, reduced to at most 16 dimensions by principal components.

    `transformer`: ``strings -> (n, m)``, dense or sparse; it is fitted on the prompts if it has ``fit`` (as a copy,
    where scikit-learn can clone it); `prompts`: distinct prompts.

    >>> text = TransformedPrompts(lambda prompts: [[len(p), p.count("a")] for p in prompts], ["a", "bb", "banana"])
    >>> text.encode(["aa", "b"]).shape
    (2, 2)
    """

    def __init__(self, transformer: Any, prompts: Sequence[str]) -> None:
        from sklearn.base import clone  # late: text alone needs numpy only

        self.prompts = list(prompts)
        self._transformer = transformer
        if hasattr(transformer, "fit"):
            self._transformer = clone(transformer, safe=False).fit(self.prompts)
        vectors = self._embed(self.prompts)
        self._mean = vectors.mean(axis=0)
        _, values, rows = np.linalg.svd(vectors - self._mean, full_matrices=False)
        self._rows = rows[:MOST_DIMENSIONS][values[:MOST_DIMENSIONS] > 1e-10 * max(float(values[0]), 1e-300)]
        self._reach = 2 * float(self._off(vectors).max())

    def encode(self, prompts: Sequence[str]) -> Array:
        """Codes of prompts, shape (n, q) with q at most 16. Raises `UnknownPromptError`: if a prompt's vector is twice
        as far from the span of the training prompts' as any of them."""
        vectors = self._embed(prompts)
        scale = np.linalg.norm(vectors - self._mean, axis=1) + np.linalg.norm(self._mean)
        for j in np.flatnonzero(self._off(vectors) > self._reach + _TOLERANCE * scale).tolist():
            raise UnknownPromptError(
                f"unknown prompt {prompts[j]!r}: its vector lies outside the span of the {len(self.prompts)} known "
                f"prompts{nearest(prompts[j], self.prompts)}."
            )
        return (vectors - self._mean) @ self._rows.T

    def _embed(self, prompts: Sequence[str]) -> Array:
        transform = getattr(self._transformer, "transform", self._transformer)
        vectors = transform(list(prompts))
        vectors = np.asarray(vectors.toarray() if hasattr(vectors, "toarray") else vectors, dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(prompts) or not np.isfinite(vectors).all():
            raise ValueError(
                f"text_encoder made an array of shape {vectors.shape} of {len(prompts)} prompts; it must make one "
                "vector of finite numbers per prompt, shape (n, m)."
            )
        return vectors

    def _off(self, vectors: Array) -> Array:
        """Distance of vectors from the plane of the components."""
        centred = vectors - self._mean
        return np.linalg.norm(centred - centred @ self._rows.T @ self._rows, axis=1)


def _with_intercept(codes: Array) -> Array:
    return np.hstack([np.ones((len(codes), 1)), codes])
