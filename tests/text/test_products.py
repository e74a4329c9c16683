"""Products of words: the kernel by its definition, leaving out by doing it, and words whose effect is known."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion.text.products import ProductCode, choose_products, kernel, left_out_error

BAGS = np.array(list(product([0.0, 1.0], repeat=4)))


def test_kernel_is_the_sum_over_all_products_of_words() -> None:
    """``prod_w (1 + theta_w b_w d_w) / (1 + theta_w)``, words as -1 and 1, ``rho = (1 - theta) / (1 + theta)``."""
    rho = np.array([0.3, -0.5, 0.9, 0.0])
    theta, signs = (1 - rho) / (1 + rho), 2 * BAGS - 1
    subsets = list(product([0, 1], repeat=4))
    features = np.stack(
        [np.prod([(t**0.5 * signs[:, w]) ** s[w] for w, t in enumerate(theta)], axis=0) for s in subsets], axis=1
    )
    assert_allclose(kernel(BAGS, BAGS, rho), features @ features.T / np.prod(1 + theta), atol=1e-12)


def test_closed_form_of_leaving_out_is_leaving_out() -> None:
    rng = np.random.default_rng(0)
    y, noise = rng.standard_normal((16, 3)), rng.random(16) / 10
    similar = kernel(BAGS, BAGS, np.full(4, 0.6))
    folds = np.array_split(rng.permutation(16), 5)
    squares = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(16), fold)
        solved = np.linalg.solve(similar[np.ix_(rest, rest)] + np.diag(noise[rest]), y[rest])
        squares.append(((y[fold] - similar[np.ix_(fold, rest)] @ solved) ** 2).sum())
    assert_allclose(left_out_error(similar, y @ y.T, noise, folds), np.sum(squares) / 16, rtol=1e-10)


def test_a_word_that_does_nothing_and_one_that_turns_round_are_found() -> None:
    """Word 0 does nothing, word 1 turns the sign, word 2 turns all to something else."""
    rng = np.random.default_rng(1)
    bags = np.array(list(product([0.0, 1.0], repeat=6)))
    seeds = rng.standard_normal((2, 8, 20))
    kind = (bags[:, 3:] @ [1, 2, 4]).astype(int)
    y = seeds[bags[:, 2].astype(int), kind] * (1 - 2 * bags[:, [1]])
    found = choose_products(bags, np.full(len(bags), 50.0), y)
    assert found.correlations[0] == pytest.approx(0.99)
    assert found.correlations[1] < -0.9
    assert abs(found.correlations[2]) < 0.3


def test_a_turned_prompt_is_predicted_though_its_words_do_not_add_up() -> None:
    """Inversion: no sum of words says it, and products do."""
    from linear_diffusion.denoiser.conditional import regress

    rng = np.random.default_rng(2)
    bags = np.array([[*np.eye(5)[d], inverted, bold] for d in range(5) for inverted in (0, 1) for bold in (0, 1)])
    y = (bags[:, :5] @ rng.standard_normal((5, 20)) + bags[:, [6]] * rng.standard_normal(20)) * (1 - 2 * bags[:, [5]])
    left = np.arange(20) != 7
    shares = np.full(19, 1 / 19)
    products = choose_products(bags[left], np.full(19, 100.0), y[left])
    with_products = regress(bags[left], shares, y[left], products)(bags[[7]])
    added = regress(bags[left], shares, y[left])(bags[[7]])
    assert ((with_products - y[7]) ** 2).sum() < 0.1 * (y[7] ** 2).sum()
    assert ((added - y[7]) ** 2).sum() > 0.5 * (y[7] ** 2).sum()


def test_one_prompt_and_no_words_are_no_crash() -> None:
    found = choose_products(np.zeros((1, 0)), np.ones(1), np.zeros((1, 3)))
    assert isinstance(found, ProductCode)
    assert found(np.zeros((2, 0))).tolist() == [[1.0], [1.0]]
