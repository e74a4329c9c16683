"""diffusers' own schedulers, driven with our eps_hat, give our trajectories."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion.denoiser.gaussian import GaussianDenoiser, eps_hat
from linear_diffusion.noise import CLEAN, SCHEDULES, Level
from linear_diffusion.sampler import SAMPLERS, trajectory

torch = pytest.importorskip("torch", reason="the extra diffusers (torch) is not installed")
diffusers = pytest.importorskip("diffusers", reason="the extra diffusers is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BETAS = {"beta_start": 1e-4, "beta_end": 0.02}
N = 12


@pytest.fixture(scope="module")
def one(prior: list[GaussianDenoiser]) -> GaussianDenoiser:
    return prior[0]


@pytest.fixture(scope="module")
def eps() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, 4))


def exactly(scheduler: Any) -> Any:
    """The scheduler with its levels in float64."""
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), dim=0)
    if hasattr(scheduler, "final_alpha_cumprod"):
        scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def native_levels(scheduler: Any) -> list[Level]:
    """Levels of the scheduler's time steps, and the clean one."""
    alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
    return [*(Level(float(np.sqrt(a)), float(np.sqrt(1 - a))) for a in alpha_bar), CLEAN]


def ours(name: str, levels: list[Level], denoiser: GaussianDenoiser, start: np.ndarray, **kwargs: Any) -> np.ndarray:
    noise: Iterator[np.ndarray] = iter(kwargs.pop("noise", ()))
    return np.stack(list(trajectory(SAMPLERS[name], levels, denoiser, start, noise, **kwargs)))


def drive_vp(
    scheduler: Any, levels: list[Level], one: GaussianDenoiser, start: np.ndarray, **kwargs: Any
) -> np.ndarray:
    """The pipeline's loop: predict the noise, step."""
    z, path = torch.from_numpy(start), [start]
    for t, level in zip(scheduler.timesteps, levels, strict=False):
        predicted = torch.from_numpy(eps_hat(one, z.numpy(), level))
        extra = {key: torch.from_numpy(next(value)) for key, value in kwargs.items() if key == "variance_noise"}
        others = {key: value for key, value in kwargs.items() if key != "variance_noise"}
        z = scheduler.step(predicted, t, z, **extra, **others).prev_sample
        path.append(z.numpy())
    return np.stack(path)


@pytest.mark.parametrize("betas", ["linear", "scaled_linear"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim(betas: str, spacing: str, one: GaussianDenoiser, eps: np.ndarray) -> None:
    scheduler = exactly(
        diffusers.DDIMScheduler(
            1000, **BETAS, beta_schedule=betas, clip_sample=False, set_alpha_to_one=True, timestep_spacing=spacing
        )
    )
    # A divisor of 1000: the scheduler takes t - 1000 // n_steps for its next time step.
    scheduler.set_timesteps(10)
    levels = native_levels(scheduler)
    assert_allclose(drive_vp(scheduler, levels, one, eps), ours("ddim", levels, one, eps), rtol=1e-9, atol=1e-10)


def test_ddim_with_noise(one: GaussianDenoiser, eps: np.ndarray) -> None:
    scheduler = exactly(diffusers.DDIMScheduler(1000, **BETAS, clip_sample=False, timestep_spacing="trailing"))
    scheduler.set_timesteps(10)
    levels = native_levels(scheduler)
    noise = np.random.default_rng(1).standard_normal((10, 5, 4))
    theirs = drive_vp(scheduler, levels, one, eps, eta=0.7, variance_noise=iter(noise))
    assert_allclose(theirs, ours("ddim", levels, one, eps, eta=0.7, noise=noise), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("n_steps", [10, 1000])
def test_ddpm(n_steps: int, one: GaussianDenoiser, eps: np.ndarray) -> None:
    scheduler = exactly(
        diffusers.DDPMScheduler(
            1000, **BETAS, clip_sample=False, variance_type="fixed_small", timestep_spacing="trailing"
        )
    )
    scheduler.set_timesteps(n_steps)
    levels = native_levels(scheduler)
    draws = torch.Generator().manual_seed(0)
    noise = [torch.randn(5, 4, generator=draws, dtype=torch.float64).numpy() for _ in range(n_steps)]
    theirs = drive_vp(scheduler, levels, one, eps, generator=torch.Generator().manual_seed(0))
    assert_allclose(theirs, ours("ddpm", levels, one, eps, noise=noise), rtol=1e-7, atol=1e-8)


def test_native_levels_are_our_schedules() -> None:
    """So the trajectories above are those that ``model.sample`` runs, by name."""
    for betas in ("linear", "scaled_linear", "sigmoid"):
        scheduler = exactly(diffusers.DDPMScheduler(1000, **BETAS, beta_schedule=betas, timestep_spacing="trailing"))
        for n_steps in (10, 50, 1000):
            scheduler.set_timesteps(n_steps)
            assert_allclose(SCHEDULES[betas].levels(n_steps), native_levels(scheduler), rtol=2e-5)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("linear", "linear"), ("scaled_linear", "scaled_linear"), ("sigmoid", "sigmoid"), ("cosine", "squaredcos_cap_v2")],
)
def test_schedules_are_diffusers_alphas_cumprod(name: str, theirs: str) -> None:
    """But for the last level of cosine, where theirs clips beta to keep 1 / alpha finite. Their betas are float32."""
    alpha_bar = exactly(diffusers.DDPMScheduler(1000, **BETAS, beta_schedule=theirs)).alphas_cumprod.numpy()[::-1]
    levels = np.array(SCHEDULES[name].levels(1000)[:-1])
    kept = slice(1 if name == "cosine" else 0, None)
    assert_allclose(levels[kept, 0] ** 2, alpha_bar[kept], rtol=5e-5)
    assert_allclose(levels[kept, 1] ** 2, 1 - alpha_bar[kept], rtol=5e-5, atol=1e-7)


def test_karras_is_edms_schedule() -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    scheduler.set_timesteps(N)
    assert_allclose(np.array(SCHEDULES["karras"].levels(N))[:, 1], scheduler.sigmas.double().numpy(), rtol=1e-5)


def test_euler(one: GaussianDenoiser, eps: np.ndarray) -> None:
    """EulerDiscreteScheduler keeps x = z / alpha, in float32."""
    scheduler = diffusers.EulerDiscreteScheduler(1000, **BETAS, beta_schedule="scaled_linear")
    scheduler.set_timesteps(N)
    sigmas = scheduler.sigmas.double().numpy()
    levels = [Level(1.0, float(s)) for s in sigmas]
    z, path = torch.from_numpy(sigmas[0] * eps), [sigmas[0] * eps]
    for t, level in zip(scheduler.timesteps, levels, strict=False):
        scheduler.scale_model_input(z, t)
        predicted = torch.from_numpy(eps_hat(one, z.numpy(), level))
        z = scheduler.step(predicted, t, z).prev_sample
        path.append(z.numpy())
    assert_allclose(np.stack(path), ours("euler", levels, one, sigmas[0] * eps), rtol=1e-4, atol=1e-5 * sigmas[0])


def test_euler_on_karras_sigmas_is_our_karras_schedule(one: GaussianDenoiser, eps: np.ndarray) -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    scheduler.set_timesteps(N)
    levels = SCHEDULES["karras"].levels(N)
    z, path = torch.from_numpy(80 * eps), [80 * eps]
    for t, level in zip(scheduler.timesteps, levels, strict=False):
        scheduler.scale_model_input(z, t)
        y = z.double().numpy()
        z0 = y - level.sigma * eps_hat(one, y, level)
        # Their network predicts F with z0_hat = c_skip z + c_out F and sigma_data = 0.5.
        c_skip = 0.25 / (level.sigma**2 + 0.25)
        c_out = level.sigma * 0.5 / np.sqrt(level.sigma**2 + 0.25)
        z = scheduler.step(torch.from_numpy((z0 - c_skip * y) / c_out), t, z).prev_sample
        path.append(z.double().numpy())
    assert_allclose(np.stack(path), ours("euler", levels, one, 80 * eps), rtol=1e-4, atol=1e-3)


def test_heun(one: GaussianDenoiser, eps: np.ndarray) -> None:
    """HeunDiscreteScheduler takes two calls a step, and one at the last."""
    scheduler = diffusers.HeunDiscreteScheduler(1000, **BETAS, beta_schedule="scaled_linear")
    scheduler.set_timesteps(N)
    sigmas = scheduler.sigmas.double().numpy()
    levels = [Level(1.0, float(s)) for s in np.r_[sigmas[0], sigmas[1:-1:2], 0.0]]
    z, path = torch.from_numpy(levels[0].sigma * eps), [levels[0].sigma * eps]
    for call, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(z, t)
        level = Level(1.0, float(scheduler.sigmas[scheduler.step_index + (call % 2)]))
        predicted = torch.from_numpy(eps_hat(one, z.double().numpy(), level))
        z = scheduler.step(predicted, t, z).prev_sample
        if call % 2 or call == len(scheduler.timesteps) - 1:
            path.append(z.double().numpy())
    assert_allclose(np.stack(path), ours("heun", levels, one, sigmas[0] * eps), rtol=1e-4, atol=1e-5 * sigmas[0])


@pytest.mark.parametrize("n_steps", [N, 30])
def test_dpmpp_2m(n_steps: int, one: GaussianDenoiser, eps: np.ndarray) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        1000,
        **BETAS,
        beta_schedule="scaled_linear",
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(n_steps)
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = scheduler.sigmas.numpy()
    levels = [Level(float(1 / np.sqrt(1 + s**2)), float(s / np.sqrt(1 + s**2))) for s in sigmas]
    assert_allclose(drive_vp(scheduler, levels, one, eps), ours("dpmpp_2m", levels, one, eps), rtol=1e-5, atol=1e-5)
