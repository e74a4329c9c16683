"""Streams of random numbers: one for each purpose, and for each block of images, grown from one seed.

    stream(entropy, purpose, block, step) -> independent of all others

So image i depends on the seed and on i, not on how many images are drawn, nor on threads.
"""

import numbers
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from .types import Array

BLOCK = 4096
"""Rows of noise that share one random stream; part of what a seed means, so changing it changes samples."""
START, STEPS, PROMPTS, DRAWS, STYLES, POSTERIOR, DEQUANTISE, EDITS, MATCHING, DETAILS, SHRINKING = range(11)
"""Purposes of random streams: a sample's start, the noise of steps, which prompt, sampled training, which style;
draws from a posterior, the noise that makes bytes real numbers, edits; what a fit draws to match the moments and the
details of training images; and what a large model draws, for a small one to be matched to."""


def entropy_of(random_state: Any) -> int:
    """One integer that all random streams of a call grow from. `random_state`: none takes fresh entropy; a RandomState
    or Generator is advanced. Raises `ValueError`: for anything else, or a negative int."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(2, np.uint64)[0])
    if isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool) and int(random_state) >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**63 - 1, dtype=np.int64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(0, 2**63 - 1))
    raise ValueError(f"random_state must be None, an int >= 0, a numpy RandomState or Generator, got {random_state!r}.")


def stream(entropy: int, *key: int) -> np.random.Generator:
    """The random stream of one purpose (and block, and step), independent of all others."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy, spawn_key=key)))


def derived(entropy: int, *key: int) -> int:
    """What all streams of a part of the work grow from, so that it shares none with any other part of the same seed."""
    return int(stream(entropy, *key).integers(2**63))


def even_draws(entropy: int, purpose: int, n: int, *key: int) -> Array:
    """Uniform numbers in [0, 1), shape (n,), that fill the interval evenly however many are drawn. A randomly shifted
    Kronecker sequence (Niederreiter 1992, section 3.4): each number is uniform, but together they are spread, so that
    prompts and styles come out as often as they should."""
    ratio = {PROMPTS: (5**0.5 - 1) / 2, STYLES: 2**0.5 - 1}[purpose]
    return (stream(entropy, purpose, *key).random() + ratio * np.arange(n)) % 1.0


def blocks(n_rows: int) -> Iterator[tuple[int, slice]]:
    """Cut n rows into blocks of fixed size: (block number, rows). Each block has its own stream, so that row i is the
    same however many rows are asked for."""
    for block, start in enumerate(range(0, n_rows, BLOCK)):
        yield block, slice(start, min(start + BLOCK, n_rows))


def start_noise(entropy: int, block: int, n: int, k: int) -> Array:
    """The first n rows of a block of the standard normal noise that sampling starts from, shape (n, k), float32."""
    return stream(entropy, START, block).standard_normal((n, k), dtype=np.float32)


def step_noise(entropy: int, block: int, n: int, k: int) -> Iterator[Array]:
    """The first n rows of a block of the noise that each step adds, shape (n, k), one step after the other."""
    for step in count():
        yield stream(entropy, STEPS, block, step).standard_normal((n, k))
