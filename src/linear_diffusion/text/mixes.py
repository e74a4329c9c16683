"""Prompts as they are asked for: one, one per image, or weighted mixes of several.

    c = sum_i w_i c_i,   w_i >= 0,   sum_i w_i = 1         {"3": 0.5, "8": 0.5}

The text embedding is linear, so a mix is a code like any other: mean and covariance of the latent given it are the
weighted sums of those of its prompts (docs/mathematics.md, "The denoiser").
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from ..utils.types import AnyArray, number
from .prompts import OneHotEncoder, listed

Mix = tuple[tuple[int, float], ...]
"""Positions of prompts (or styles) and their weights above zero, the heaviest first; equal weights by position."""
_TOLERANCE = 1e-6


def has_mix(prompts: Any) -> bool:
    """Whether prompts are a mix, or a list with one."""
    listed = isinstance(prompts, (list, tuple, np.ndarray))
    return isinstance(prompts, Mapping) or (listed and any(isinstance(p, Mapping) for p in prompts))


def as_text(prompt: Any) -> str:
    """A prompt, or a mix as the command takes it.

    >>> as_text(3), as_text({"3": 0.5, "8": 0.5})
    ('3', '3:0.5 8:0.5')
    """
    return " ".join(f"{p}:{w:g}" for p, w in prompt.items()) if isinstance(prompt, Mapping) else str(prompt)


def each_mix(prompts: Any, n: int, text: OneHotEncoder, name: str, *, required: bool = False) -> list[Mix]:
    """The mix of each of n images, of prompts as `LinearDiffusion.sample` takes them; none for None, unless required.

    >>> each_mix(["3", {"8": 0.75, "3": 0.25}], 2, OneHotEncoder(np.array(["3", "8"])), "prompts")
    [((0, 1.0),), ((1, 0.75), (0, 0.25))]
    """
    if prompts is None and required:
        raise ValueError(f"{name}=None: give one prompt, or one per image.")
    if prompts is None:
        return []
    each = listed(prompts)
    mixes = [read_mix(p, text) if isinstance(p, Mapping) else ((int(text.index([p])[0]), 1.0),) for p in each]
    if len(mixes) not in (1, n):
        raise ValueError(f"{name} lists {len(mixes)} prompts for {n} images; give one prompt, or one per image.")
    return mixes * n if len(mixes) == 1 else mixes


def heaviest(prompts: Any, text: OneHotEncoder) -> Any:
    """Prompts with the heaviest of each mix in its place."""
    if not has_mix(prompts):
        return prompts
    listed, known = [prompts] if isinstance(prompts, Mapping) else prompts, text.prompts.tolist()
    return [known[read_mix(p, text)[0][0]] if isinstance(p, Mapping) else p for p in listed]


def read_mix(weights: Mapping[Any, Any], text: OneHotEncoder) -> Mix:
    """The mix of a dict from prompts to weights; see `each_mix` for what it raises."""
    if not weights:
        raise ValueError('the mixed prompt {} is empty; give prompts and weights, such as {"3": 0.5, "8": 0.5}.')
    for prompt, weight in weights.items():
        if not 0 <= number(weight) < inf:
            raise ValueError(f"weight {weight!r} of prompt {prompt!r} must be a finite number >= 0.")
    total = float(sum(weights.values()))
    if abs(total - 1.0) > _TOLERANCE:
        advice = "give at least one that is above 0"
        if total > 0:
            shares_of_sum = {prompt: round(float(weight) / total, 6) for prompt, weight in weights.items()}
            advice = f"divide each by the sum: {shares_of_sum}"
        raise ValueError(f"the weights of the mixed prompt {dict(weights)} sum to {total:g}, not to 1; {advice}.")
    shares: dict[int, float] = {}
    for j, weight in zip(text.index(weights), weights.values(), strict=True):
        shares[int(j)] = shares.get(int(j), 0.0) + float(weight)  # labels 3 and "3" are one prompt
    present = sorted(((j, w) for j, w in shares.items() if w > 0), key=lambda part: (-part[1], part[0]))
    return ((present[0][0], 1.0),) if len(present) == 1 else tuple(present)


def as_given(prompts: Any, labels: AnyArray) -> AnyArray:
    """What `sample` returns as prompts: labels, or an object array with the dicts as they were given. `labels` (n,):
    the label of each image's prompt, or of the heaviest of its mix."""
    listed: Sequence[Any] = [prompts] if isinstance(prompts, Mapping) else list(prompts)
    named = np.empty(len(labels), object)
    for i, label in enumerate(labels.tolist()):
        given = listed[i if len(listed) > 1 else 0]
        named[i] = given if isinstance(given, Mapping) else label
    return named
