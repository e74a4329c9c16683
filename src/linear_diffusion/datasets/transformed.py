"""Step 0, prompts of several words: digits of MNIST under known transformations, whose words are the prompt.

    x' = T_size T_slant T_weight x        "3"  ->  "3 bold slanted small inverted"

| word       | what it does to the digit                              |
| ---------- | ------------------------------------------------------ |
| "0" to "9" | nothing: it is MNIST's label, always the first word    |
| "bold"     | thickens the stroke: a grey dilation by 3 x 3 pixels   |
| "thin"     | thins the stroke: a grey erosion by 2 x 2 pixels       |
| "slanted"  | shears the digit to the right by half a pixel a row    |
| "small"    | shrinks the digit to 0.6 of its size, about the centre |
| "inverted" | black on white: 255 - pixel, last                      |

Each image gets one of the 3 x 2 x 2 x 2 combinations, from a random stream of fixed seed, so that the same image has
always the same prompt. What a word does is known, so that whether a model can draw a combination that it has never
seen can be measured; `HELD_OUT` is a list of combinations for that.
"""

from itertools import product

import numpy as np

from .common import AnyArray

WEIGHTS, SLANTS, SIZES, TONES = ("", "bold", "thin"), ("", "slanted"), ("", "small"), ("", "inverted")
"""The choices of each attribute; "" has no word."""
COMBINATIONS = tuple(" ".join(filter(None, words)) for words in product(WEIGHTS, SLANTS, SIZES, TONES))
"""What may follow the digit."""
_SEED, _CHUNK = 1, 8192
_SHEAR, _SHRINK = 0.5, 0.6


def _held_out() -> tuple[str, ...]:
    """Five of the 24 combinations for each digit, stepped through so that each is held out for two digits or more."""
    order = np.random.default_rng(_SEED).permutation(len(COMBINATIONS))
    chosen = ((digit, COMBINATIONS[order[(5 * digit + i) % len(order)]]) for digit in range(10) for i in range(5))
    return tuple(sorted(f"{digit} {words}".strip() for digit, words in chosen))


HELD_OUT = _held_out()
"""50 of the 240 combinations, to leave out of training: each of their words, and each pair, is seen in others."""


def transform_digits(images: AnyArray, labels: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Transform each digit by a combination of words, always the same for the same rows.

    Parameters
    ----------
    images : ndarray of shape (n, 28, 28)
        uint8 in 0..255, light strokes on black.
    labels : ndarray of shape (n,)
        "0" to "9".

    Returns
    -------
    images : ndarray of shape (n, 28, 28)
        uint8 in 0..255.
    prompts : ndarray of shape (n,)
        Such as "3 bold slanted".

    Examples
    --------
    >>> images, prompts = transform_digits(np.zeros((3, 28, 28), np.uint8), np.array(["3", "3", "8"]))
    >>> prompts.tolist()
    ['3 bold small inverted', '3 bold slanted', '8 thin small']
    """
    drawn = np.random.default_rng(_SEED).integers(len(COMBINATIONS), size=len(images))
    out = np.empty_like(images)
    for j in np.unique(drawn):
        members = np.flatnonzero(drawn == j)
        for part in np.array_split(members, len(members) // _CHUNK + 1):
            out[part] = apply_words(images[part], COMBINATIONS[j])
    return out, np.array([f"{label} {COMBINATIONS[j]}".strip() for label, j in zip(labels, drawn, strict=True)])


def apply_words(images: AnyArray, words: str) -> AnyArray:
    """Apply the transformations that some words name to digits (n, h, w), uint8.

    Examples
    --------
    >>> int(apply_words(np.zeros((1, 28, 28), np.uint8), "bold inverted").min())
    255
    """
    from scipy import ndimage  # late: only this data set needs it

    named = words.split()
    if "bold" in named:
        images = ndimage.grey_dilation(images, size=(1, 3, 3))
    if "thin" in named:
        images = ndimage.grey_erosion(images, size=(1, 2, 2))
    if "slanted" in named or "small" in named:
        images = _warp(images, _SHEAR * ("slanted" in named), _SHRINK if "small" in named else 1.0)
    return np.uint8(255) - images if "inverted" in named else images


def _warp(images: AnyArray, shear: float, size: float) -> AnyArray:
    """Shear and shrink about the centre. The warp is a linear map of pixels, so it is found once and applied to all."""
    from scipy import ndimage

    h, w = images.shape[1:]
    back = np.array([[1.0, 0.0], [shear, 1.0]]) / size  # from an output pixel (row, column) to where it is read
    centre = (np.array([h, w]) - 1) / 2
    sources = np.eye(h * w, dtype=np.float32).reshape(-1, h, w)
    linear = [ndimage.affine_transform(one, back, centre - back @ centre, order=1) for one in sources]
    rows = images.reshape(len(images), -1).astype(np.float32) @ np.reshape(linear, (h * w, h * w))
    return np.rint(np.clip(rows, 0, 255)).astype(np.uint8).reshape(images.shape)
