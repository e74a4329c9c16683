import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import BLOCK, start_noise
from linear_diffusion.render import draw_prompts, finish, render
from linear_diffusion.sampler import exact_law

Digits = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize("tone", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("color", [True, False])
def test_one_folded_product_is_sampler_then_decoder_then_curve(
    tone: bool, standardize: bool, dtype: type, color: bool, rgb: np.ndarray
) -> None:
    """To one grey level: the folded product runs in float32, and the curve's table has about four entries a level."""
    images = rgb if color else rgb[..., 0]
    X = images if dtype == np.uint8 else (images / 255).astype(dtype)
    y = np.arange(200) % 2
    model = LinearDiffusion(latent_dim=7, tone=tone, standardize=standardize).fit(X, y)
    law, index = exact_law(model._prior), np.array([1, 0, 0, 1, 1] * 4)
    fast = render(law, index, model._encoder, model._image, model._curves, 5)
    z = start_noise(5, 0, 20, 7).astype(np.float64)
    for j in range(2):
        slow = finish(law[j](z[index == j]), j, model._encoder, model._image, model._curves)
        level = 1.0 if dtype == np.uint8 else 2 / 255 if tone else 1e-5
        assert_allclose(fast[index == j].reshape(len(slow), -1), slow.astype(float), atol=level)
    assert fast.dtype == dtype
    assert fast.shape == (20, *X.shape[1:])


def test_prompts_are_drawn_as_often_as_in_training() -> None:
    weights = np.array([0.5, 0.2, 0.3])
    n = 3 * BLOCK
    frequencies = np.bincount(draw_prompts(0, weights, n), minlength=3) / n
    assert_allclose(frequencies, weights, atol=4 * 0.5 / np.sqrt(n))


def test_the_first_prompts_do_not_depend_on_how_many_are_drawn() -> None:
    weights = np.full(5, 0.2)
    many = draw_prompts(3, weights, 2 * BLOCK + 5)
    for n in (1, 7, BLOCK - 1, BLOCK, BLOCK + 1):
        assert_array_equal(draw_prompts(3, weights, n), many[:n])


def test_weights_that_sum_to_less_than_one_by_rounding_draw_no_prompt_that_is_not_there() -> None:
    assert draw_prompts(0, np.array([0.3, 0.3]), 1000).max() == 1
