from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.draw import render
from linear_diffusion.image.decoder import Decoder
from linear_diffusion.plan import choose, draw_prompts
from linear_diffusion.sampler import exact_law
from linear_diffusion.streams import BLOCK, start_noise

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
    model = LinearDiffusion(styles=1, latent_dim=7, tone=tone, standardize=standardize).fit(X, y)
    law, index = exact_law(model._prior), np.array([1, 0, 0, 1, 1] * 4)
    decoder = Decoder(model._encoder, model._image, model._curves)
    fast = render(lambda used: law[used], index, decoder, 5)
    z = start_noise(5, 0, 20, 7).astype(np.float64)
    for j in range(2):
        drawn = model._encoder.decode(law[j](z[index == j]))
        slow = decoder.develop(drawn, np.full(len(drawn), j))
        level = 1.0 if dtype == np.uint8 else 2 / 255 if tone else 1e-5
        assert_allclose(fast[index == j].reshape(len(slow), -1), slow.astype(float), atol=level)
    assert fast.dtype == dtype
    assert fast.shape == (20, *X.shape[1:])


def test_prompts_are_drawn_as_often_as_in_training() -> None:
    weights = np.array([0.5, 0.2, 0.3])
    n = 3 * BLOCK
    frequencies = np.bincount(draw_prompts(0, weights, n), minlength=3) / n
    assert_allclose(frequencies, weights, atol=2 / n)  # even draws: better than chance, 1 / sqrt(n)


def test_the_first_prompts_do_not_depend_on_how_many_are_drawn() -> None:
    weights = np.full(5, 0.2)
    many = draw_prompts(3, weights, 2 * BLOCK + 5)
    for n in (1, 7, BLOCK - 1, BLOCK, BLOCK + 1):
        assert_array_equal(draw_prompts(3, weights, n), many[:n])


def test_only_prompts_that_are_asked_for_are_compiled(rgb: np.ndarray) -> None:
    model = LinearDiffusion(styles=1, latent_dim=7).fit(rgb, np.arange(200) % 5)
    decoder, asked = Decoder(model._encoder, model._image, model._curves), []

    def laws(used: np.ndarray) -> Any:
        asked.append(used.tolist())
        return exact_law(model._prior[used])

    some = render(laws, np.array([3, 1, 3]), decoder, 5)
    assert asked == [[1, 3]]
    assert_array_equal(some, render(laws, np.array([3, 1, 3, 0, 4]), decoder, 5)[:3])


def test_developing_reads_each_rows_own_curve_or_none(rgb: np.ndarray) -> None:
    model = LinearDiffusion(styles=1, latent_dim=7).fit(rgb, np.arange(200) % 3)
    decoder = Decoder(model._encoder, model._image, model._curves)
    pixels, curve = model._encoder.decode(model.transform(rgb[:9])), np.array([0, 0, 0, 0, 2, 2, 2, 2, 2])
    developed = decoder.develop(pixels, curve)
    for j in (0, 2):
        own = curve == j
        assert_array_equal(developed[own], decoder.develop(pixels[own], curve[own]))
        assert (developed[own] != decoder.develop(pixels[own], np.full(own.sum(), 1))).any()
    plain = Decoder(model._encoder, model._image, None)
    assert_array_equal(plain.develop(pixels, curve), model._image.cast(pixels))


def test_weights_that_sum_to_less_than_one_by_rounding_draw_no_prompt_that_is_not_there() -> None:
    assert draw_prompts(0, np.array([0.3, 0.3]), 1000).max() == 1
    assert_array_equal(
        choose(np.array([0.25, 0.5, 0.25]), np.array([0.0, 0.25, 0.7499, 0.75, 1 - 1e-16])), [0, 1, 1, 2, 2]
    )
