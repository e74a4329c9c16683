"""Plans: which prompt and component each image has, and which images are drawn from the same."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.prior import Part
from linear_diffusion.plan import choose, distinct, draw_prompts, plan
from linear_diffusion.utils.streams import BLOCK


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


def test_weights_that_sum_to_less_than_one_by_rounding_draw_no_prompt_that_is_not_there() -> None:
    assert draw_prompts(0, np.array([0.3, 0.3]), 1000).max() == 1
    assert_array_equal(
        choose(np.array([0.25, 0.5, 0.25]), np.array([0.0, 0.25, 0.7499, 0.75, 1 - 1e-16])), [0, 1, 1, 2, 2]
    )


@pytest.fixture(scope="module")
def styled(digits: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """Rows of three prompts, with styles and no tone curve."""
    images, y = digits
    return LinearDiffusion(styles=4, latent_dim=5, random_state=0).fit(images[y < 3].reshape(-1, 64), y[y < 3])


def test_images_of_one_piece_are_grouped(styled: LinearDiffusion) -> None:
    mixes, mix_of, component = [((0, 1.0),), ((1, 0.5), (0, 0.5))], np.array([0, 1, 0, 0]), np.array([2, 1, 2, 0])
    planned = plan(styled.prior_, styled.decoder_, mixes, mix_of, component)
    means = styled.style_means_
    near = ((means[0] - means[1][1]) ** 2).sum(axis=1).argmin()
    expected = [(Part(0, 2, 1.0),), (Part(1, 1, 0.5), Part(0, near, 0.5)), (Part(0, 2, 1.0),), (Part(0, 0, 1.0),)]
    assert [planned.pieces[i].parts for i in planned.index] == expected
    assert len(planned.pieces) == 3


def test_images_that_are_led_away_from_different_prompts_are_apart(styled: LinearDiffusion) -> None:
    away, away_of = distinct([((1, 1.0),), ((1, 1.0),), ((2, 1.0),)])
    none = np.zeros(3, int)
    planned = plan(styled.prior_, styled.decoder_, [((0, 1.0),)], none, none, away, away_of, 2.0)
    assert planned.index.tolist() == [0, 0, 1]
    assert [piece.negative for piece in planned.pieces] == [((1, 1.0),), ((2, 1.0),)]
