"""Random streams: one for each purpose and block, so that an image does not depend on how many are drawn."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.utils.streams import BLOCK, blocks, entropy_of, start_noise, step_noise, stream


def test_one_seed_is_one_entropy_and_generators_are_advanced() -> None:
    assert entropy_of(7) == entropy_of(np.int32(7)) == 7
    for make in (np.random.RandomState, np.random.default_rng):
        one, other = make(3), make(3)
        first, second = entropy_of(one), entropy_of(one)
        assert first == entropy_of(other)
        assert first != second
    assert entropy_of(None) != entropy_of(None)


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "0", np.random, [0]])
def test_anything_else_is_no_random_state(wrong: Any) -> None:
    with pytest.raises(ValueError, match="random_state must be None, an int >= 0, a numpy RandomState or Generator"):
        entropy_of(wrong)


def test_streams_are_a_function_of_their_key_alone() -> None:
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0), (1, 0, 1)]
    draws = [stream(5, *key).standard_normal(4) for key in keys]
    assert len({d.tobytes() for d in draws}) == len(keys)
    for key, d in zip(keys, draws, strict=True):
        assert_array_equal(stream(5, *key).standard_normal(4), d)
        assert (stream(6, *key).standard_normal(4) != d).all()


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_partition_the_rows(n: int) -> None:
    parts = list(blocks(n))
    assert [block for block, _ in parts] == list(range(len(parts)))
    assert_array_equal(np.concatenate([np.zeros(0, int), *(np.arange(n)[part] for _, part in parts)]), np.arange(n))
    assert all(part.stop - part.start == BLOCK for _, part in parts[:-1])


@pytest.mark.parametrize("k", [1, 3])
def test_noise_of_a_row_does_not_depend_on_how_many_are_drawn(k: int) -> None:
    assert_array_equal(start_noise(9, 2, 5, k), start_noise(9, 2, 1000, k)[:5])
    few, many = (islice(step_noise(9, 2, n, k), 3) for n in (5, 1000))
    for a, b in zip(few, many, strict=True):
        assert_array_equal(a, b[:5])


def test_noise_of_start_and_steps_is_standard_normal_and_uncorrelated() -> None:
    n = 20_000
    draws = [start_noise(1, 0, n, 2), start_noise(1, 1, n, 2), *islice(step_noise(1, 0, n, 2), 2)]
    together = np.hstack(draws)
    assert_allclose(together.mean(axis=0), 0.0, atol=4 / np.sqrt(n))
    assert_allclose(np.cov(together.T), np.eye(8), atol=6 / np.sqrt(n))
