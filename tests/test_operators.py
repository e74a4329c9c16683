"""Operators: as scipy and Pillow apply them, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter

from linear_diffusion import operators

IMAGES = np.random.default_rng(0).random((3, 7, 10))
COLOUR = np.random.default_rng(1).random((3, 6, 4, 3))


@given(sigma=st.floats(0.3, 4.0))
def test_gaussian_blur_is_scipys(sigma):
    expected = np.stack([gaussian_filter(x, sigma) for x in IMAGES])
    assert_allclose(operators.blur(sigma)(IMAGES), expected, atol=1e-12)


@given(a=st.integers(1, 4), b=st.integers(1, 5), seed=st.integers(0, 99))
def test_convolution_is_scipys_by_channel(a, b, seed):
    kernel = np.random.default_rng(seed).standard_normal((a, b))
    expected = np.stack([convolve(x, kernel) for x in IMAGES])
    assert_allclose(operators.blur(kernel)(IMAGES), expected, atol=1e-12)
    expected = np.stack([np.stack([convolve(x[..., c], kernel) for c in range(3)], axis=-1) for x in COLOUR])
    assert_allclose(operators.blur(kernel)(COLOUR), expected, atol=1e-12)


def test_downsampling_takes_the_means_of_blocks():
    expected = COLOUR.reshape(3, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    assert_allclose(operators.downsample(2)(COLOUR), expected, atol=1e-12)


def test_grey_is_pillows_luma():
    bytes_ = np.rint(COLOUR * 255).astype(np.uint8)
    found = operators.grayscale()(bytes_)
    assert found.dtype == np.uint8
    expected = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in bytes_])
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert_allclose(operators.grayscale((0.2, 0.3, 0.5))(COLOUR), COLOUR @ [0.2, 0.3, 0.5])


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3), (3, 6, 4), (3, 6, 4, 3)])
def test_a_mask_is_for_all_images_or_for_each_and_for_all_channels_or_for_each(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    full = mask if shape[-1] == 3 else mask[..., None]
    assert_array_equal(operators.inpaint(mask)(COLOUR), COLOUR * ~np.broadcast_to(full, COLOUR.shape))
    seen = operators.observe(operators.inpaint(mask), COLOUR, (6, 4, 3))
    assert sorted(np.concatenate([group.members for group in seen])) == [0, 1, 2]
    assert len(seen) == (3 if shape[0] == 3 else 1)
    for group in seen:
        assert_array_equal(group.y, COLOUR[group.members].reshape(-1, 72)[:, group.kept])
        assert_allclose(group.matrix @ COLOUR[group.members[0]].ravel(), group.y[0])


def test_operators_know_what_they_are_and_a_matrix_that_selects_pixels_is_a_mask():
    def kind(operator, Y):
        [seen] = operators.observe(operator, Y, (6, 4, 3))
        return seen.kept is not None, seen.disjoint

    assert kind(None, COLOUR) == (False, True)
    for operator, expected in (
        (operators.inpaint(np.eye(6, 4, dtype=bool)), (True, True)),
        (operators.downsample(2), (False, True)),
        (operators.grayscale(), (False, True)),
        (operators.blur(1.0), (False, False)),
    ):
        assert kind(operator, operator(COLOUR)) == expected
    rows = np.eye(72)[[4, 1, 0]]
    [seen] = operators.observe(rows, np.zeros((1, 3)), (6, 4, 3))
    assert_array_equal(seen.kept, [4, 1, 0])
    for other in (2 * rows, -rows, rows[[0, 0]], np.vstack([rows, 0 * rows]), rows + rows[::-1]):
        assert kind(other, np.zeros((1, len(other)))) == (False, False)


def test_a_mask_of_numbers_is_zeros_and_ones():
    assert_array_equal(operators.inpaint([[0, 1]]).missing, [[False, True]])
    with pytest.raises(ValueError, match="values other than 0 and 1"):
        operators.inpaint([[0, 255]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: operators.blur(0), "kernel=0 must be above 0"),
        (lambda: operators.blur(-1.0), "kernel=-1.0 must be above 0"),
        (lambda: operators.blur([1.0, 2.0]), r"kernel has shape \(2,\)"),
        (lambda: operators.blur([[np.nan]]), "finite"),
        (lambda: operators.downsample(0), "factor=0 must be a whole number"),
        (lambda: operators.downsample(1.5), "factor=1.5 must be"),
        (lambda: operators.grayscale([[1.0]]), "must be finite numbers, one per channel"),
        (lambda: operators.blur(1.0)(np.ones((2, 9))), "not rows of shape"),
        (lambda: operators.from_matrix(np.full((1, 4), np.inf)).build((2, 2)), "NaN or infinity"),
        (lambda: operators.observe(None, np.array(["a"]), (2, 2)), "as numbers"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()
