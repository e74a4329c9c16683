"""Removal: sums over images, less those over some of them.

    n = n_1 - n_2,   mean = m_1 - (m_2 - m_1) n_2 / n,   S = S_1 - S_2 - (n_1 n_2 / n) (m_2 - m_1)(m_2 - m_1)'

What is left is as exact as the difference of two numbers is: where far more is taken away than stays, its first digits
are those that both had. What was never part of the sums is refused as far as it shows.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import count, warn
from ..utils.types import Array

if TYPE_CHECKING:
    from .moments import Moments

_ROUNDING = 1e-11
"""What sums may have lost to rounding, as a share of the sum of squares: the digits of thousands of batches."""
_DIGITS, _FEW = 16, 8
"""Decimal digits of a float64, and below how many of them it is said."""


def removed(whole: "Moments", part: "Moments") -> "Moments":
    """The moments of the images of ``whole`` that are not in ``part``, which has the same units; prompts of which none
    is left go."""
    places = _places(whole, part)
    left = replace(whole, **{name: getattr(whole, name).copy() for name in ("counts", "means", "scatter", "histogram")})
    for i, j in places:
        left.histogram[j] -= part.histogram[i]
        _subtract(left, whole, j, part, i)
    # Tones of floats may have been counted in other units before, and rounded.
    if whole.image is None or whole.image.dtype in ("uint8", "bool"):
        for j in np.flatnonzero((left.histogram < 0).any(axis=(1, 2)))[:1]:
            raise _never_part(whole.prompts.tolist()[j], "fewer pixels than none would have some tone")
    np.maximum(left.histogram, 0.0, out=left.histogram)
    if places:
        _report_lost_digits(whole, left)
    stays = left.counts > 0
    if stays.all():
        return left
    names = ("prompts", "counts", "means", "scatter", "histogram")
    return replace(left, **{name: getattr(left, name)[stays] for name in names})


def _places(whole: "Moments", part: "Moments") -> list[tuple[int, int]]:
    """Where each prompt of the part is in both, part and whole. Raises `ValueError`: if there are fewer images."""
    known = {prompt: j for j, prompt in enumerate(whole.prompts.tolist())}
    places = []
    for i, prompt in enumerate(part.prompts.tolist()):
        if not part.counts[i]:
            continue
        n, there = count(int(part.counts[i]), "image"), known.get(prompt)
        if there is None:
            raise ValueError(f"cannot subtract {n} of prompt {prompt!r}: there is no such prompt here.")
        if part.counts[i] > whole.counts[there]:
            raise ValueError(
                f"cannot subtract {n} of prompt {prompt!r} from the {int(whole.counts[there]):,} that are here."
            )
        places.append((i, there))
    return places


def _subtract(left: "Moments", whole: "Moments", j: int, part: "Moments", i: int) -> None:
    """Take the images of one prompt away, in place."""
    n, gone, step = whole.counts[j], part.counts[i], part.means[i] - whole.means[j]
    stay = left.counts[j] = n - gone
    left.scatter[j] -= part.scatter[i]
    # One image has no scatter, and none no mean either: what they have left must be rounding.
    excess = n * step**2 if stay == 0 else 0.0
    if stay:
        left.scatter[j] -= (n * gone / stay) * (step**2 if whole.diagonal else np.outer(step, step))
        left.means[j] -= step * (gone / stay)
    own = _own(left.scatter[j])
    reach = max(map(abs, whole.image.tone_range)) if whole.image else 0.0
    room = _ROUNDING * (_own(whole.scatter[j]) + n * (whole.means[j] ** 2 + reach**2))
    if (np.maximum(np.abs(own) if stay < 2 else -own, excess) > room).any():
        raise _never_part(whole.prompts.tolist()[j], "its variance would be negative, or that of no images")
    below = own < 0 if stay > 1 else np.ones(len(own), bool)
    left.scatter[j][below] = 0.0
    if not whole.diagonal:
        left.scatter[j][:, below] = 0.0


def _report_lost_digits(whole: "Moments", left: "Moments") -> None:
    """Warn where few digits are left, as far as sums of squares tell: how much was there, for how much is left."""
    was, stays = (m.variances.sum(axis=1) * m.counts for m in (whole, left))
    was[(left.counts < 2) | (left.counts == whole.counts)] = 0.0  # exact: one image has no scatter
    lost = np.log10(np.maximum(was / np.maximum(stays, 1e-16 * was + np.finfo(float).tiny), 1.0))
    worst = int(lost.argmax())
    digits = round(_DIGITS - float(lost[worst]))
    if digits < _FEW:
        prompt, stay = whole.prompts.tolist()[worst], count(int(left.counts[worst]), "image")
        warn(
            f"about {digits} of {_DIGITS} digits are left of the moments of prompt {prompt!r}: far more was taken away "
            f"than the {stay} that stay. Fit these anew, where they are at hand."
        )


def _never_part(prompt: Any, why: str) -> ValueError:
    return ValueError(
        f"what is taken away of prompt {prompt!r} was never part of these moments: {why}. Subtract the moments that "
        "were added, as they were."
    )


def _own(scatter: Array) -> Array:
    """Each feature's own scatter, of one prompt."""
    return scatter.copy() if scatter.ndim == 1 else scatter.diagonal().copy()
