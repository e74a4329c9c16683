"""Image-to-image: from the picture itself to a sample, and the law on the way."""

from itertools import repeat
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.noise import CLEAN, SCHEDULES, Level
from linear_diffusion.sampler import SAMPLERS, trajectory
from linear_diffusion.tasks.edit import draw_responsible, last_levels, noised
from linear_diffusion.utils.streams import EDITS, derived, start_noise

STEPS = [name for name in SAMPLERS if name != "one-step"]
VISITED = [name for name in SCHEDULES if name != "one-step"]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Rows of four pixels; of prompt "b" half lie on either side, so that it has two styles."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4)) @ (0.4 * rng.standard_normal((4, 4)))
    y = np.repeat(["a", "b"], 200)
    X[200:300] += 3.0
    X[300:] -= [3.0, 0.0, 3.0, 0.0]
    return X, y


@pytest.fixture(scope="module")
def plain(data: tuple) -> LinearDiffusion:
    return LinearDiffusion(styles=1, latent_dim=4, random_state=3).fit(*data)


@pytest.fixture(scope="module")
def styled(data: tuple) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=4, styles=2, random_state=3).fit(*data)


def of(request: Any, name: str) -> LinearDiffusion:
    fitted: LinearDiffusion = request.getfixturevalue(name)
    return fitted


@pytest.mark.parametrize("fixture", ["plain", "styled"])
@pytest.mark.parametrize("sampler", ["exact", *SAMPLERS])
def test_strength_zero_is_the_picture_and_one_is_a_sample(
    fixture: str, sampler: str, data: tuple, request: Any
) -> None:
    model, X = of(request, fixture).set_params(schedule="linear"), data[0][:5]
    decoded = model.inverse_transform(model.transform(X))
    prompts = ["a", "b", "b", {"a": 0.5, "b": 0.5}, "a"]
    call = {"sampler": sampler} | ({} if sampler in ("exact", "one-step") else {"n_steps": 4})
    assert_array_equal(model.edit(X, prompts, 0.0, **call), decoded)
    assert_array_equal(
        model.edit(X, prompts, 1.0, **call), model.sample(prompts=prompts, random_state=derived(3, EDITS), **call)[0]
    )
    seeded = model.edit(X, "a", 1, random_state=5, **call)
    assert_array_equal(seeded, model.sample(5, "a", random_state=derived(5, EDITS), **call)[0])


@pytest.mark.parametrize("schedule", VISITED)
def test_the_exact_edit_is_the_flow_from_the_level_of_its_strength(
    plain: LinearDiffusion, data: tuple, schedule: str
) -> None:
    plain.set_params(schedule=schedule)
    level = SCHEDULES[schedule].at([0.4])[0]
    z_t = level.alpha * plain.transform(data[0][:6]) + level.sigma * start_noise(derived(3, EDITS), 0, 6, 4).astype(
        float
    )
    mean, covariance = plain.means_[1], plain.covariances_[1]
    values, vectors = np.linalg.eigh(covariance)
    scale = np.sqrt(values / (level.alpha**2 * values + level.sigma**2))
    z = mean + ((z_t - level.alpha * mean) @ vectors * scale) @ vectors.T
    assert_allclose(plain.edit(data[0][:6], "b", 0.4), plain.inverse_transform(z), atol=1e-9)


@pytest.mark.parametrize("schedule", VISITED)
@pytest.mark.parametrize("sampler", [name for name in STEPS if name != "ddpm"])
def test_a_stepwise_edit_is_the_end_of_the_loop(
    plain: LinearDiffusion, data: tuple, sampler: str, schedule: str
) -> None:
    plain.set_params(schedule=schedule)
    levels = SCHEDULES[schedule].levels(10)[4:]
    eps, z = start_noise(derived(3, EDITS), 0, 6, 4).astype(float), plain.transform(data[0][:6])
    z_t = levels[0].alpha * z + levels[0].sigma * eps
    *_, z_0 = trajectory(SAMPLERS[sampler], levels, plain.denoiser("b"), z_t, repeat(np.zeros((6, 4))))
    edited = plain.edit(data[0][:6], "b", 0.6, sampler=sampler, n_steps=10)
    assert_allclose(edited, plain.inverse_transform(z_0), atol=1e-8)


@pytest.mark.parametrize("call", [{}, {"sampler": "ddpm", "n_steps": 100}, {"sampler": "heun", "n_steps": 60}])
@pytest.mark.parametrize("strength", [0.3, 0.7])
@pytest.mark.parametrize("fixture", ["plain", "styled"])
def test_editing_samples_by_their_own_prompt_keeps_their_law(
    fixture: str, strength: float, call: dict, request: Any
) -> None:
    """A noised sample has the noisy marginal, so that the flow, and the posterior of styles, lead back to the law."""
    model = of(request, fixture).set_params(schedule="cosine")
    samples, _ = model.sample(20_000, "b")
    edited = model.edit(samples, "b", strength, **call)  # by the same seed
    assert_allclose(edited.mean(axis=0), samples.mean(axis=0), atol=0.12)
    assert_allclose(np.cov(edited.T), np.cov(samples.T), atol=0.4)
    assert_allclose((edited[:, 0] > 0).mean(), (samples[:, 0] > 0).mean(), atol=0.02)


def test_little_noise_leaves_the_picture(plain: LinearDiffusion, data: tuple) -> None:
    plain.set_params(schedule="flow")
    decoded = plain.inverse_transform(plain.transform(data[0][:5]))
    change = [np.abs(plain.edit(data[0][:5], "a", s) - decoded).max() for s in (1e-6, 1e-5, 1e-4)]
    assert change[0] < 1e-4
    assert_allclose(np.diff(np.log10(change)), 1.0, atol=0.05)


@pytest.mark.parametrize("sampler", ["exact", "ddim", "ddpm"])
def test_little_noise_leaves_the_picture_off_the_directions_of_styles_too(grey: tuple, sampler: str) -> None:
    model = LinearDiffusion(styles=20, latent_dim=40, tone=False, random_state=0).fit(*grey)
    pictures = grey[0][:20]
    kept = model.inverse_transform(model.transform(pictures))
    steps = {} if sampler == "exact" else {"n_steps": 1000}
    for strength, most in ((0.002, 0.01), (0.02, 0.06), (0.9, 1.0)):
        off = np.abs(model.edit(pictures, "8", strength, sampler=sampler, **steps).astype(float) - kept).mean()
        assert off < most * np.ptp(kept)
    assert off > 0.1 * np.ptp(kept)  # much noise leaves little


@pytest.mark.parametrize("fixture", ["plain", "styled"])
def test_edits_are_guided_and_mixed(fixture: str, data: tuple, request: Any) -> None:
    model, X = of(request, fixture).set_params(schedule="cosine"), data[0][:4]
    call = {"sampler": "heun", "n_steps": 10}
    alone = model.edit(X, "b", 0.5, **call)
    assert_allclose(model.edit(X, "b", 0.5, guidance_scale=1 + 1e-9, **call), alone, atol=1e-6)
    assert_allclose(model.edit(X, {"b": 1, "a": 0}, 0.5, **call), alone, atol=1e-12)
    strong = model.edit(X, ["b", "a", "b", "a"], 0.5, guidance_scale=1.2, negative_prompts="a", **call)
    assert_allclose(strong[1], model.edit(X, "a", 0.5, **call)[1] if fixture == "plain" else strong[1], atol=1e-6)
    assert np.abs(strong[0] - alone[0]).max() > 1e-3
    assert_allclose(model.edit(X[:2], ["b", "a"], 0.5, **call)[0], alone[0], atol=1e-12)


def test_the_default_sampler_of_sampled_training_edits(data: tuple) -> None:
    model = LinearDiffusion(styles=1, latent_dim=4, training="sampled", random_state=0).fit(*data)
    near = model.edit(data[0][:3], "a", 0.02) - model.inverse_transform(model.transform(data[0][:3]))
    assert np.abs(near).max() < 1.0
    assert model.edit(data[0][:3], "a", 0.6).shape == (3, 4)


def test_pictures_come_out_as_they_went_in(model: LinearDiffusion, grey: tuple) -> None:
    edited = model.edit(grey[0][:3], "8", 0.5)
    assert edited.dtype == np.uint8
    assert edited.shape == (3, 8, 8)


# The parts


def test_steps_are_those_of_diffusers() -> None:
    levels = SCHEDULES["cosine"].levels(50)
    for strength in (0.02, 0.29, 0.3, 0.57, 0.58, 0.6, 0.99, 1.0):
        # StableDiffusionImg2ImgPipeline.get_timesteps
        n_first = max(50 - min(int(50 * strength + 1e-9), 50), 0)
        assert last_levels(levels, strength) == levels[n_first:]
    assert len(last_levels(levels, 0.58)) == 30  # 50 * 0.58 is 28.999999999999996
    with pytest.raises(ValueError, match=r"strength=0\.01 of n_steps=50 is no step; give a strength of 0\.02 or more"):
        last_levels(levels, 0.01)


def test_styles_are_drawn_by_their_posterior(styled: LinearDiffusion) -> None:
    law, level = styled.prior_.law(1), Level(0.5, 0.9)
    z_t = np.tile(0.5 * law.means.mean(axis=0) + 0.3, (4000, 1))
    density = []
    for mean, directions, variances in zip(
        law.mixture.means, law.mixture.directions, law.mixture.variances, strict=True
    ):
        covariance, b = 0.25 * (directions * variances) @ directions.T + 0.81 * np.eye(4), z_t[0] - 0.5 * mean
        density.append(np.exp(-0.5 * b @ np.linalg.solve(covariance, b)) / np.sqrt(np.linalg.det(covariance)))
    posterior = law.shares * density / (law.shares @ density)
    drawn = draw_responsible(styled.prior_, np.ones(4000, int), z_t, level, 0)
    assert_allclose([(drawn == s).mean() for s in range(2)], posterior, atol=0.03)
    assert 0.02 < posterior[0] < 0.98
    assert [law.mixture.nearest(mean) for mean in law.means] == [0, 1]


def test_a_dimension_without_variance_is_edited_to_the_mean() -> None:
    flat = GaussianDenoiser(np.array([2.0, 0.0]), np.array([0.0, 1.0]), np.eye(2))
    z = flat.flow_map(Level(0.6, 0.8), CLEAN)(noised(np.array([[2.0, 1.0]]), Level(0.6, 0.8), 0))
    assert z[0, 0] == 2.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"strength": -0.1}, "strength=-0.1 must be between 0, the picture itself, and 1"),
        ({"strength": 1.1}, "strength=1.1 must be between"),
        ({"strength": np.nan}, "strength=nan must be between"),
        ({"strength": "0.5"}, "strength='0.5' must be between"),
        ({"strength": True}, "strength=True must be between"),
        ({"strength": 0.05, "sampler": "ddim", "n_steps": 10}, "strength=0.05 of n_steps=10 is no step"),
        ({"sampler": "one-step"}, "strength=0.6 of n_steps=1 is no step"),
        ({"n_steps": 10}, 'n_steps=10 means nothing to sampler="exact"'),
        ({"eta": 0.5}, "eta=0.5 must be between 0 and 1"),
        ({"guidance_scale": -1}, "guidance_scale=-1 must be"),
        ({"guidance_scale": 2, "sampler": "exact"}, "no closed form with guidance"),
        ({"negative_prompts": "a"}, "negative_prompts='a' change nothing"),
        ({"prompts": None}, "prompts=None: give one prompt, or one per image"),
        ({"prompts": []}, "prompts lists 0 prompts for 3 images"),
        ({"prompts": ["a", "b"]}, "prompts lists 2 prompts for 3 images"),
        ({"prompts": "c"}, "unknown prompt 'c'"),
        ({"prompts": {"a": 0.4}}, "sum to 0.4, not to 1"),
        ({"X": np.zeros((3, 5))}, "X has 5 features"),
    ],
)
def test_an_edit_that_is_refused(plain: LinearDiffusion, data: tuple, call: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain.edit(**{"X": data[0][:3], "prompts": "a"} | call)
