"""Text encoder: prompt -> c, a one-hot code.

    c_j = 1 if the prompt is the j-th known one, else 0

This is the place of the text embedding in a text-to-image model. It is linear in the trivial sense: a
look-up. Since a one-hot code has one entry that is not zero, the position of that entry is all that travels.
"""

from collections.abc import Hashable, Iterator
from difflib import get_close_matches
from typing import Any

import numpy as np

from ._types import AnyArray, Array, Index
from .exceptions import UnknownPromptError


class OneHotEncoder:
    """The known prompts and their one-hot codes.

    Parameters
    ----------
    prompts : array of shape (n_prompts,)
        Distinct prompts, of any dtype.

    Examples
    --------
    >>> text = OneHotEncoder(np.array([3, 8]))
    >>> text.index(["8", 3, 3])
    array([1, 0, 0])
    >>> text.encode(["8"])
    array([[0., 1.]])
    """

    def __init__(self, prompts: AnyArray) -> None:
        self.prompts = prompts
        # By equality first, then as strings, so that labels 0..9 and prompts "0".."9" both work.
        self._by_string: dict[str, int] = {str(p): j for j, p in enumerate(prompts.tolist())}
        self._by_value: dict[Hashable, int] = {p: j for j, p in enumerate(prompts.tolist())}

    def index(self, prompts: Any) -> Index:
        """Positions of prompts in the code.

        Parameters
        ----------
        prompts : sequence of n prompts

        Returns
        -------
        array of int, shape (n,)

        Raises
        ------
        UnknownPromptError
            Naming the known prompts and the nearest.
        """
        # A list that mixes types must not pass through numpy, which would turn [3, "8"] into strings.
        values = prompts.tolist() if isinstance(prompts, np.ndarray) else list(prompts)
        return np.array([self._find(p) for p in values], dtype=np.intp)

    def encode(self, prompts: Any) -> Array:
        """One-hot codes, shape (n, n_prompts), float64."""
        return np.eye(len(self.prompts))[self.index(prompts)]

    def _find(self, prompt: Any) -> int:
        prompt = prompt.item() if isinstance(prompt, np.generic) else prompt
        position = self._by_value.get(prompt) if isinstance(prompt, Hashable) else None
        if position is None:
            position = self._by_string.get(str(prompt))
        if position is None:
            raise UnknownPromptError(self._unknown(prompt))
        return position

    def _unknown(self, prompt: Any) -> str:
        known = list(self._by_string)
        listed = ", ".join(map(repr, known[:20])) + (f", ... ({len(known)} in all)" if len(known) > 20 else "")
        nearest = get_close_matches(str(prompt), known, n=1, cutoff=0.0)
        hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
        return f"unknown prompt {prompt!r}: the model knows {listed}{hint}."


def by_prompt(index: Index) -> Iterator[tuple[int, Index | slice]]:
    """Group rows by prompt: (prompt position, rows); a slice where there is one group, which spares copies."""
    present = np.unique(index)
    if len(present) == 1:
        yield int(present[0]), slice(None)
        return
    for j in present:
        yield int(j), np.flatnonzero(index == j)
