"""Digits under transformations that their prompts name."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

from linear_diffusion import load_images
from linear_diffusion.datasets.embedded import load_mnist_5k
from linear_diffusion.datasets.transformed import COMBINATIONS, HELD_OUT, apply_words, transform_digits


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_mnist_5k()


def moment(images: np.ndarray) -> np.ndarray:
    """Mean over images of the ink's second central moments, rows and columns: (2, 2)."""
    ink = images / images.sum(axis=(1, 2), keepdims=True)
    place = np.stack(np.meshgrid(np.arange(28.0), np.arange(28.0), indexing="ij"))
    centre = np.einsum("nij,dij->nd", ink, place)
    off = place - centre[:, :, None, None]
    return np.einsum("nij,ndij,neij->de", ink, off, off, optimize=True) / len(images)


def test_a_name_loads_them_shuffled_with_the_digit_first(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, prompts = load_images("mnist-5k-words")
    assert images.shape == (5000, 28, 28)
    assert images.dtype == np.uint8
    assert set(prompts) == {f"{d} {words}".strip() for d in range(10) for words in COMBINATIONS}
    order = np.random.default_rng(0).permutation(5000)
    assert_array_equal([p.split()[0] for p in prompts], digits[1][order])
    again = load_images("mnist-5k-words")
    assert_array_equal(images, again[0])
    assert_array_equal(prompts, again[1])


def test_each_image_is_its_digit_under_the_words_of_its_prompt(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, prompts = transform_digits(*digits)
    for i in range(0, 5000, 250):
        words = " ".join(prompts[i].split()[1:])
        alone = apply_words(digits[0][[i]], words)[0].astype(int)
        assert np.abs(images[i] - alone).max() <= 1  # products of many images round otherwise than of one


def test_words_do_what_they_say(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][::25]
    plain = moment(X)
    assert_array_equal(apply_words(X, ""), X)
    assert_array_equal(apply_words(X, "inverted"), 255 - X)
    assert (apply_words(X, "bold") >= X).all()
    assert (apply_words(X, "thin") <= X).all()
    assert apply_words(X, "bold").sum() > 1.5 * X.sum() > 3 * apply_words(X, "thin").sum() * 0.75
    np.testing.assert_allclose(moment(apply_words(X, "small")) / plain, 0.6**2, rtol=0.12)
    sheared = np.array([[1, 0], [-0.5, 1]])  # a row further down moves half a column to the left
    np.testing.assert_allclose(moment(apply_words(X, "slanted")), sheared @ plain @ sheared.T, rtol=0.05)


def test_the_warp_is_scipys_image_by_image(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][[0, 1700, 4999]]
    back = np.array([[1.0, 0.0], [0.5, 1.0]]) / 0.6
    offset = 13.5 - back @ [13.5, 13.5]
    expected = [ndimage.affine_transform(x.astype(float), back, offset, order=1) for x in X]
    np.testing.assert_allclose(apply_words(X, "slanted small"), expected, atol=0.6)


def test_held_out_combinations_leave_every_word_and_pair_of_words_in_training() -> None:
    every = {f"{d} {words}".strip() for d in range(10) for words in COMBINATIONS}
    assert set(HELD_OUT) < every
    assert len(set(HELD_OUT)) == 50
    pairs = [{(a, b) for p in some for a in p.split() for b in p.split()} for some in (every, every - set(HELD_OUT))]
    assert pairs[0] == pairs[1]
