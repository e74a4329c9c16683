from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.noise import CLEAN, SCHEDULES, Level, add_noise, start_std

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
