"""Distances by matrix products against distances by difference."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from linear_diffusion.evaluation import distances
from linear_diffusion.evaluation.distances import blocks, nearest, neighbour_radii


@pytest.mark.parametrize("most", [1, 40, 10_000])
def test_blocks_make_up_the_whole(monkeypatch, most):
    monkeypatch.setattr(distances, "_BLOCK", most)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 5)), rng.standard_normal((20, 5))
    rows = list(blocks(a, b))
    np.testing.assert_allclose(np.concatenate([d for _, d in rows]), cdist(a, b, "sqeuclidean"), atol=1e-12)
    assert len(rows) == {1: 30, 40: 15, 10_000: 1}[most]


def test_an_exact_copy_is_at_distance_zero_in_single_precision_far_from_the_origin():
    b = (1000 + np.random.default_rng(0).random((500, 784))).astype(np.float32)
    copies = b[[3, 400, 77]]
    _, squared = next(blocks(copies, b))  # the three terms alone
    found, index = nearest(copies, b)
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(index, [3, 400, 77])
    assert squared[range(3), index].max() > 1


def test_nearest_is_the_smallest_of_all():
    rng = np.random.default_rng(1)
    a, b = rng.random((50, 7)).astype(np.float32), rng.random((90, 7)).astype(np.float32)
    every = cdist(a, b)
    found, index = nearest(a, b)
    np.testing.assert_array_equal(index, every.argmin(axis=1))
    np.testing.assert_allclose(found, every.min(axis=1), rtol=1e-12)


@pytest.mark.parametrize("most", [1, 10_000])
def test_radii_leave_out_the_image_itself_but_not_its_twin(monkeypatch, most):
    monkeypatch.setattr(distances, "_BLOCK", most)
    a = np.array([[0.0], [0.0], [2.0], [5.0]])
    first, second = neighbour_radii(a, 1, 2)
    np.testing.assert_array_equal(first, [0, 0, 4, 9])
    np.testing.assert_array_equal(second, [4, 4, 4, 25])


@pytest.mark.parametrize("k", [0, 3])
def test_neighbours_that_are_not_there(k):
    with pytest.raises(ValueError, match=f"k={k} neighbours must be from 1 to 2"):
        neighbour_radii(np.zeros((3, 2)), k)
