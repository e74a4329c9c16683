"""Guidance: the formula, its limits, and that a guided run is one map."""

import warnings
from collections.abc import Callable
from itertools import repeat

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.gaussian import GaussianDenoiser, eps_hat, in_latent
from linear_diffusion.exceptions import GuidanceWarning
from linear_diffusion.guidance import Grouped, Guided, GuidedDenoiser, check_scale, warn_of_runaway
from linear_diffusion.noise import SCHEDULES, Level, start_std
from linear_diffusion.sampler import SAMPLERS, compile_law, trajectory

LEVELS = [Level(0.8, 0.6), Level(1.0, 3.0), Level(0.2, 0.9)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.5])
def test_guided_noise_is_the_papers_combination(
    prior: list[GaussianDenoiser], wiener: Callable, level: Level, scale: float
) -> None:
    z = np.random.default_rng(0).standard_normal((7, 4))

    def noise(j: int) -> np.ndarray:
        gain, shift = wiener(prior[j].mean, prior[j].covariance, level)
        return (z - level.alpha * (z @ gain.T + shift)) / level.sigma

    expected = noise(2) + scale * (noise(0) - noise(2))
    guided = GuidedDenoiser(prior[0], prior[2], scale)
    assert_allclose(eps_hat(guided, z, level), expected, atol=1e-11)
    assert_allclose(eps_hat(Guided(prior[0], prior[2], scale), z, level), expected, atol=1e-11)


def test_without_signal_the_guided_image_is_the_guided_mean(prior: list[GaussianDenoiser]) -> None:
    z0 = GuidedDenoiser(prior[0], prior[1], 3.0).z0_map(Level(0.0, 1.0))(np.ones((2, 4)))
    assert_allclose(z0, np.tile(3 * prior[0].mean - 2 * prior[1].mean, (2, 1)), atol=1e-12)


def test_scale_one_is_the_prompt_and_scale_zero_what_it_is_guided_from(prior: list[GaussianDenoiser]) -> None:
    z = np.random.default_rng(1).standard_normal((3, 4))
    for scale, alone in ((1.0, prior[0]), (0.0, prior[1])):
        z0 = GuidedDenoiser(prior[0], prior[1], scale).z0_map(LEVELS[0])(z)
        assert_allclose(z0, alone.z0(LEVELS[0])(z), atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_compiled_guided_run_is_the_loop(prior: list[GaussianDenoiser], schedule: str, name: str) -> None:
    """Without noise the same images; with noise the same mean, as all noise of the loop is zero."""
    n_steps = 1 if name == "one-step" or schedule == "one-step" else 6
    levels, sampler = SCHEDULES[schedule].levels(n_steps), SAMPLERS[name]
    eps = np.random.default_rng(2).standard_normal((5, 4))
    law = compile_law(sampler, levels, GuidedDenoiser(prior[0], prior[1], 1.7))
    if name == "ddpm":
        eps[:] = 0.0
    guided = Guided(prior[0], Grouped([(slice(None), prior[1])]), 1.7)
    *_, z = trajectory(sampler, levels, guided, start_std(levels[0]) * eps, repeat(np.zeros((5, 4))))
    assert_allclose(z, law(eps), atol=1e-9 * max(1.0, np.abs(z).max()))


def test_a_compiled_guided_ddpm_has_the_covariance_of_the_loop(prior: list[GaussianDenoiser]) -> None:
    """The loop is linear in all its noise, so pushing unit vectors through it gives its covariance exactly."""
    levels, k, n_steps = SCHEDULES["cosine"].levels(3), 4, 3
    units = np.eye(k * (n_steps + 1)).reshape(-1, n_steps + 1, k)
    guided = Guided(prior[0], prior[1], 2.0)
    *_, z = trajectory(SAMPLERS["ddpm"], levels, guided, units[:, 0], iter(units[:, 1:].swapaxes(0, 1)))
    *_, mean = trajectory(SAMPLERS["ddpm"], levels, guided, np.zeros((1, k)), repeat(np.zeros((1, k))))
    law = compile_law(SAMPLERS["ddpm"], levels, GuidedDenoiser(prior[0], prior[1], 2.0))
    assert_allclose(law.matrix @ law.matrix.T, (z - mean).T @ (z - mean), atol=1e-10)
    assert_allclose(law.shift, mean[0], atol=1e-10)


def test_guided_away_from_itself_a_prompt_stays_and_of_few_directions_is_as_its_whole_covariance(
    prior: list[GaussianDenoiser],
) -> None:
    levels, rng = SCHEDULES["flow"].levels(4), np.random.default_rng(5)
    factor, mean = rng.standard_normal((4, 2)), rng.standard_normal(4)
    few, whole = GaussianDenoiser.from_factor(mean, factor), GaussianDenoiser.from_covariance(mean, factor @ factor.T)
    one, other = (compile_law(SAMPLERS["heun"], levels, GuidedDenoiser(d, prior[2], 2.0)) for d in (few, whole))
    assert_allclose(one.matrix, other.matrix, atol=1e-11)
    assert_allclose(one.shift, other.shift, atol=1e-11)
    same = compile_law(SAMPLERS["heun"], levels, GuidedDenoiser(prior[0], prior[0], 2.0))
    alone = in_latent(compile_law(SAMPLERS["heun"], levels, prior[0]), prior[0])
    assert_allclose(same.matrix, alone.matrix, atol=1e-11)
    assert_allclose(same.shift, alone.shift, atol=1e-11)


def test_each_row_of_a_group_has_its_own_denoiser(prior: list[GaussianDenoiser]) -> None:
    z = np.random.default_rng(3).standard_normal((5, 4))
    grouped = Grouped([(np.array([0, 3]), prior[0]), (np.array([1, 2, 4]), prior[1])])
    z0 = grouped.z0(LEVELS[1])(z)
    for i, j in enumerate([0, 1, 1, 0, 1]):
        assert_allclose(z0[i : i + 1], prior[j].z0(LEVELS[1])(z[i : i + 1]), atol=1e-12)


# What runs away


def test_rescaled_guidance_only_turns(prior: list[GaussianDenoiser]) -> None:
    z = np.random.default_rng(0).standard_normal((7, 4))
    for level in LEVELS:
        own, away = (prior[j].z0(level)(z) for j in (0, 2))
        for scale in (1.0, 1.5, 5.0, 1e6):
            guided = Guided(prior[0], prior[2], scale, rescaled=True).z0(level)(z)
            plain = own + (scale - 1) * (own - away)
            assert_allclose(np.linalg.norm(guided, axis=1), np.linalg.norm(own, axis=1))
            cosine = (guided * plain).sum(axis=1) / np.linalg.norm(guided, axis=1) / np.linalg.norm(plain, axis=1)
            assert_allclose(cosine, 1.0)
        half = Guided(prior[0], prior[2], 0.5, rescaled=True).z0(level)(z)
        assert_allclose(half, 0.5 * (own + away), atol=1e-12)


@pytest.mark.parametrize("looped", [False, True])
def test_variance_that_runs_away_is_told(looped: bool) -> None:
    """A tight prompt far from a wide one: to be led away from the one is to leave the other, which is told once."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((50, 2)) * s + [m, 0] for s, m in ((0.02, 9), ([3, 0.1], -9))])
    model = LinearDiffusion(styles=1, latent_dim=2, random_state=0, tone=False).fit(x, np.repeat(["a", "b"], 50))
    call = {"n_steps": 20, "sampler": "ddim", "return_trajectory": looped, "negative_prompts": "b"}
    with pytest.warns(GuidanceWarning, match="prompt 'a' run away: their variance is") as caught:
        model.sample(3, "a", guidance_scale=10, **call)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.sample(3, "a", guidance_scale=1.02, **call)


@pytest.mark.parametrize("styles", [False, True])
def test_no_scale_saturates(styles: bool, grey: tuple[np.ndarray, np.ndarray], styled_model: LinearDiffusion) -> None:
    """The share of pixels at their bounds, and the light, stay; scale 5 was a chessboard."""
    model = styled_model if styles else LinearDiffusion(styles=1, latent_dim=30, random_state=0).fit(*grey)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [model.sample(100, guidance_scale=g, sampler="ddim", n_steps=10)[0] for g in (1, 1.5, 2, 3, 5)]
    for images in found:
        assert abs(images.mean() - found[0].mean()) < 0.05 * 255
        assert abs(images.std() - found[0].std()) < 0.05 * 255


def test_a_ratio_that_is_no_number_is_told() -> None:
    for ratio in (np.inf, np.nan, 11.0):
        with pytest.warns(GuidanceWarning):
            warn_of_runaway(ratio, "'a'", 2.0)


@pytest.mark.parametrize("scale", [-0.1, np.nan, np.inf, "2", True, None])
def test_a_scale_that_is_refused(scale: object) -> None:
    with pytest.raises(ValueError, match=r"must be a number from 0 to 1e\+18; 1 is no guidance"):
        check_scale(scale)


def test_negative_prompts_without_guidance_are_refused() -> None:
    with pytest.raises(ValueError, match="negative_prompts='3' change nothing at guidance_scale=1"):
        check_scale(1, "3")
