"""Prompts as they are asked for -> the known ones, as a one-hot code.

    c_j = 1 if the prompt is the j-th known one, else 0

This is the place of the text embedding in a text-to-image model. The one-hot code is linear in the trivial sense: a
look-up. Since it has one entry that is not zero, the position of that entry is all that travels.
"""

from collections.abc import Hashable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Self
from unicodedata import normalize

import numpy as np

from ..exceptions import UnknownPromptError
from ..utils.types import AnyArray, Array, Index


def compose(prompt: Any) -> str:
    """A prompt as a string in Unicode's composed form (NFC), so that one word has one spelling.

    >>> compose("cafe\u0301") == "caf\u00e9", compose(3)
    (True, '3')
    """
    text = str(prompt)
    return text if text.isascii() else normalize("NFC", text)


def listed(prompts: Any) -> list[Any]:
    """Prompts as a list: one, or a dict that mixes several, is a list of one.

    >>> listed("a"), listed(np.array(3)), listed(("a", {"b": 1.0}))
    (['a'], [3], ['a', {'b': 1.0}])
    """
    if isinstance(prompts, np.ndarray):
        return list(np.atleast_1d(prompts).tolist())
    alone = isinstance(prompts, (str, bytes, Mapping)) or not isinstance(prompts, Iterable)
    return [prompts] if alone else list(prompts)


class OneHotEncoder:
    """The known prompts and their one-hot codes.

    `prompts` (n_prompts,): distinct prompts, of any dtype.

    >>> text = OneHotEncoder(np.array([3, 8]))
    >>> text.index(["8", 3, 3])
    array([1, 0, 0])
    >>> text.encode(["8"])
    array([[0., 1.]])
    """

    def __init__(self, prompts: AnyArray) -> None:
        self.prompts = prompts
        # By equality first, then as strings, so that labels 0..9 and prompts "0".."9" both work.
        self._by_string: dict[str, int] = {compose(p): j for j, p in enumerate(prompts.tolist())}
        self._by_value: dict[Hashable, int] = {p: j for j, p in enumerate(prompts.tolist())}

    def index(self, prompts: Any) -> Index:
        """Positions of prompts in the code. Returns (n,). Raises `UnknownPromptError`: naming the known prompts and the
        nearest."""
        # A list that mixes types must not pass through numpy, which would turn [3, "8"] into strings.
        values = prompts.tolist() if isinstance(prompts, np.ndarray) else list(prompts)
        return np.array([self._find(p) for p in values], dtype=np.intp)

    @classmethod
    def of_strings(cls, prompts: Iterable[Any]) -> Self:
        """The distinct ones of some prompts, as strings."""
        return cls(np.unique([compose(p) for p in prompts]))

    def knows(self, prompts: Iterable[Any]) -> bool:
        """Whether all prompts are known."""
        try:
            self.index(list(prompts))
        except UnknownPromptError:
            return False
        return True

    def encode(self, prompts: Any) -> Array:
        """One-hot codes, shape (n, n_prompts), float64."""
        return np.eye(len(self.prompts))[self.index(prompts)]

    def _find(self, prompt: Any) -> int:
        prompt = prompt.item() if isinstance(prompt, np.generic) else prompt
        position = self._by_value.get(prompt) if isinstance(prompt, Hashable) else None
        if position is None:
            position = self._by_string.get(compose(prompt))
        if position is None:
            raise unknown(f"prompt {prompt!r}", str(prompt), list(self._by_string))
        return position


def unknown(what: str, name: str, known: list[str]) -> UnknownPromptError:
    """The error of a prompt, or a word of one, that is not known."""
    listed = ", ".join(map(repr, known[:20])) + (f", ... ({len(known)} in all)" if len(known) > 20 else "")
    return UnknownPromptError(f"unknown {what}: the model knows {listed}{nearest(name, known)}.")


def nearest(name: str, known: list[str]) -> str:
    """What is spelled much like it, whatever the case; nothing where nothing is."""
    spelled = {word.casefold(): word for word in known}
    found = get_close_matches(name.casefold(), spelled, n=1)
    return f"; the nearest is {spelled[found[0]]!r}" if found else ""
