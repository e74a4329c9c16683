"""Copies are found, and real images are not taken for copies."""

import time

import numpy as np
import pytest

from linear_diffusion.evaluation.memorisation import memorisation


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_copies_of_the_training_set_are_flagged(rng):
    train, held_out = rng.random((400, 20)).astype(np.float32), rng.random((300, 20)).astype(np.float32)
    found = memorisation(train, train[::2], held_out)
    assert (found.median_ratio, found.tail_ratio, found.near_copies, found.exact_copies) == (0, 0, 1, 1)
    assert found.memorised
    np.testing.assert_array_equal(found.index, np.arange(0, 400, 2))


def test_real_images_are_as_new_as_real_images(rng):
    train, samples, held_out = (rng.random((n, 20)) for n in (400, 1000, 1000))
    found = memorisation(train, samples, held_out)
    assert found.median_ratio == pytest.approx(1, abs=0.03)
    assert found.tail_ratio == pytest.approx(1, abs=0.05)
    assert found.near_copies < 0.03
    assert found.exact_copies == 0
    assert not found.memorised


@pytest.mark.parametrize(("share", "memorised"), [(0.02, False), (0.1, True)])
def test_a_few_near_copies_show_in_their_share_and_not_in_the_median(rng, share, memorised):
    train, samples, held_out = (rng.random((n, 20)) for n in (400, 1000, 1000))
    n = int(share * 1000)
    samples[:n] = train[:n] + 0.01 * rng.standard_normal((n, 20))
    found = memorisation(train, samples, held_out)
    assert found.near_copies == pytest.approx(share, abs=0.02)
    assert found.median_ratio == pytest.approx(1, abs=0.05)
    assert found.memorised == memorised
    assert (found.tail_ratio < 0.2) == memorised  # the 5th percentile lies among them
    samples_at, train_at = found.nearest_pairs(n)
    np.testing.assert_array_equal(np.sort(samples_at), np.arange(n))
    np.testing.assert_array_equal(samples_at, train_at)
    assert (np.diff(found.distances[samples_at]) >= 0).all()


def test_ratios_by_hand():
    train = np.zeros((1, 1))
    found = memorisation(train, np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [6.0]]))
    assert found.median_ratio == 0.5
    assert found.tail_ratio == pytest.approx(1.1 / 2.2)
    assert found.near_copies == pytest.approx(2 / 3)  # below 2.04, the 1st percentile


def test_a_pair_is_shown_once(rng):
    train = rng.random((5, 3))
    found = memorisation(train, train[[0, 0, 0, 1, 1, 2]], rng.random((9, 3)))
    samples, images = found.nearest_pairs(10)
    assert samples.tolist() == [0, 3, 5]
    assert images.tolist() == [0, 1, 2]


def test_held_out_images_that_are_training_images_give_no_scale(rng):
    train = rng.random((50, 4))
    assert memorisation(train, rng.random((20, 4)), train).median_ratio == np.inf
    assert memorisation(train, train, train).median_ratio == 1


def test_it_is_fast(rng):
    """A tenth of MNIST's size; alone on two cores it takes a twentieth of the limit."""
    train, samples = (rng.random((n, 784), dtype=np.float32) for n in (20_000, 600))
    start = time.perf_counter()
    memorisation(train, samples, samples + 1)
    assert time.perf_counter() - start < 10
