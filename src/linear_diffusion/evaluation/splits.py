"""Which real images play which part, so that none is scored by what it taught.

training images --> judge of features | judge of prompts | stand-ins: real images in the samples' place
held-out images --> what samples and stand-ins are compared with
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from ..utils.types import AnyArray, Array, Index
from .features import Components, Judge

Features = Callable[[AnyArray], Array]
"""Images (n, ...) to features (n, k)."""
_ENOUGH = 500
"""Training images from which on the judges leave some over as stand-ins."""


@dataclass(frozen=True)
class Panel:
    """The judges, and the real images that stand in for samples to give each figure its scale."""

    features: Features
    reader: Judge | None
    """Reads prompts; it shares no images with the judge of features. None where there is one prompt."""
    target: AnyArray
    """Held-out images that both are compared with."""
    stand_ins: AnyArray
    """Real images that no judge has seen, and that are not in ``target``."""
    note: str
    """Who judges what, in a sentence."""


def make_panel(
    train: tuple[AnyArray, AnyArray], test: tuple[AnyArray, AnyArray], *, features: Features | None = None
) -> Panel:
    """Train the judges; with one seed, so that all models scored on the same data have the same judges.

    Parameters
    ----------
    train, test : (images, prompts)
        From 500 training images on, two fifths train each judge and the rest are stand-ins. Below, both judges are
        trained on all of them, and half of the held-out images are stand-ins.
    features : callable, optional
        Features to use in place of a judge's, such as those of an Inception network: images (n, ...) -> (n, k).

    Returns
    -------
    Panel
    """
    images, prompts = train
    everything = np.arange(len(images))
    first, second, target = everything, everything, test[0]
    if len(images) >= _ENOUGH:
        rest, spare = split(prompts, 0.2, 0)
        one, two = split(prompts[rest], 0.5, 1)
        first, second, stand_ins = rest[one], rest[two], images[spare]
        who = f"{len(stand_ins):,} training images that no judge has seen"
    else:
        kept, spare = split(test[1], 0.5, 0)
        target, stand_ins = test[0][kept], test[0][spare]
        who = f"half of the held-out images, {len(stand_ins):,}, compared with the other half"
    several = len(np.unique(prompts)) > 1
    if features is None:
        judge = Judge((256, 128), seed=0) if several else Components()
        features = judge.fit(images[first], prompts[first]).features
        kind = "a classifier trained on real images" if several else "principal components, as there is one prompt"
    else:
        kind = "the features that were given"
    reader = Judge((400,), seed=1).fit(images[second], prompts[second]) if several else None
    # Measures that take fewer take the first, which must not be one prompt's.
    target, stand_ins = target[some(len(target))], stand_ins[some(len(stand_ins))]
    return Panel(features, reader, target, stand_ins, f"Features: {kind}. The column of real images: {who}.")


def split(prompts: AnyArray, share: float, seed: int) -> tuple[Index, Index]:
    """Deal images into a rest and a share, prompt by prompt in like proportion.

    Parameters
    ----------
    prompts : array of shape (n,)
    share : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    rest, part : arrays of positions, sorted

    Raises
    ------
    ValueError
        If either would be empty.

    Examples
    --------
    >>> rest, part = split(np.array(["a"] * 5 + ["b"] * 5), 0.2, seed=0)
    >>> len(rest), (part < 5).tolist()
    (8, [True, False])
    """
    if not 0 < share < 1:
        raise ValueError(f"the share to hold out, {share:g}, must lie between 0 and 1.")
    _, index = np.unique(prompts, return_inverse=True)
    order = np.lexsort((np.random.default_rng(seed).random(len(index)), index))
    dealt = np.diff(np.floor(np.arange(len(order) + 1) * share + 0.5)) > 0
    if dealt.all() or not dealt.any():
        raise ValueError(f"{len(order)} images are too few to hold out a share of {share:g} of them.")
    return np.sort(order[~dealt]), np.sort(order[dealt])


def some(n: int, most: int | None = None) -> Index:
    """Positions of at most so many out of n, in random order, always the same.

    Examples
    --------
    >>> sorted(some(3).tolist()), len(some(9, 4)), len(some(3, 4))
    ([0, 1, 2], 4, 3)
    """
    return np.random.default_rng(0).permutation(n)[:most]


def count_copies(train: AnyArray, test: AnyArray) -> int:
    """How many test images are a training image, pixel by pixel.

    Examples
    --------
    >>> count_copies(np.array([[1, 2], [3, 4]]), np.array([[3, 4], [5, 6], [3, 4]]))
    2
    """
    known = set(map(_digest, train))
    return sum(_digest(image) in known for image in test)


def _digest(image: Any) -> bytes:
    return blake2b(image.tobytes(), digest_size=16).digest()
