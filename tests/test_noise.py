from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.noise import CLEAN, SCHEDULES, Level, add_noise, start_std
from linear_diffusion.streams import BLOCK, blocks, entropy_of, start_noise, step_noise, stream

ALL = sorted(SCHEDULES)
LINEAR = np.linspace(1e-4, 0.02, 1000)
SCALED = np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2
SIGMOID = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.02 - 1e-4) + 1e-4


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "sigmoid", "cosine"])
def test_variance_preserving_levels_lie_on_the_unit_circle(name: str) -> None:
    assert_allclose([a**2 + s**2 for a, s in SCHEDULES[name].at(np.linspace(0, 1, 77))], 1.0, rtol=1e-14)


@pytest.mark.parametrize(("name", "betas"), [("linear", LINEAR), ("scaled_linear", SCALED), ("sigmoid", SIGMOID)])
def test_a_thousand_steps_visit_ddpms_own_levels(name: str, betas: np.ndarray) -> None:
    """alpha_bar_i = prod (1 - beta), Ho et al. (2020), eq. 4."""
    alphas, sigmas = np.array(SCHEDULES[name].levels(1000)[:-1]).T
    alpha_bar = np.cumprod(1 - betas)[::-1]
    assert_allclose(alphas**2, alpha_bar, rtol=1e-11)
    assert_allclose(sigmas**2, 1 - alpha_bar, rtol=1e-11)


def test_cosine_is_the_squared_cosine_over_its_start() -> None:
    t = np.linspace(0, 0.999, 50)
    alpha_bar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert_allclose(np.array(SCHEDULES["cosine"].at(t))[:, 0] ** 2, alpha_bar, rtol=1e-12)
    assert SCHEDULES["cosine"].at([1.0]) == [Level(0.0, 1.0)]


@pytest.mark.parametrize("n", [2, 18, 50])
def test_karras_is_edms_discretisation(n: int) -> None:
    """Karras et al. (2022), eq. 5, with EDM's sigma_min, sigma_max and rho."""
    i = np.arange(n)
    sigmas = (80.0 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7
    levels = np.array(SCHEDULES["karras"].levels(n))
    assert_allclose(levels[:, 1], np.r_[sigmas, 0.0], rtol=1e-12)
    assert_array_equal(levels[:, 0], 1.0)


def test_flow_is_a_straight_line_and_one_step_adds_unit_noise() -> None:
    assert_allclose(SCHEDULES["flow"].levels(4), [(0, 1), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (1, 0)])
    assert SCHEDULES["one-step"].levels(1) == [Level(1.0, 1.0), CLEAN]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_levels_fall_from_most_noise_to_none(name: str, n: int) -> None:
    levels = SCHEDULES[name].levels(n)
    assert len(levels) == n + 1
    assert levels[0] == SCHEDULES[name].at([1.0])[0]
    assert levels[-1] == CLEAN
    alphas, sigmas = np.array(levels).T
    assert (np.diff(alphas) >= 0).all()
    assert (np.diff(sigmas) < 0).all()
    assert list(SCHEDULES[name].steps(n)) == list(pairwise(levels))


def test_samplers_start_from_sigma_where_the_image_is_not_scaled_down_and_from_one_elsewhere() -> None:
    starts = {name: start_std(schedule.levels(10)[0]) for name, schedule in SCHEDULES.items()}
    assert starts["karras"] == pytest.approx(80.0)
    assert {s for name, s in starts.items() if name != "karras"} == {1.0}


def test_noising_gives_the_level_its_mean_and_variance() -> None:
    z, eps = np.full((100_000, 1), 2.0), np.random.default_rng(0).standard_normal((100_000, 1))
    z_t = add_noise(z, eps, Level(0.6, 0.8))
    assert_allclose([z_t.mean(), z_t.std()], [1.2, 0.8], rtol=0.01)


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
