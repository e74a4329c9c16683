"""Drawing: compiled or looped, plain prompts, mixes and guidance, with every sampler and schedule."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion, UnknownPromptError
from linear_diffusion.draw import Run, draw
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.plan import plan
from linear_diffusion.sampler import SAMPLERS, compile_law
from linear_diffusion.utils.streams import start_noise

STEPS = [name for name in SAMPLERS if name != "one-step"]
DETERMINISTIC = [name for name in STEPS if name != "ddpm"]
HALF = {"3": 0.5, "8": 0.5}
CLOSE = {"rtol": 0, "atol": 2e-5}
"""Rows are float64 of about 1, and the noise that they start from is float32."""


@pytest.fixture(scope="module")
def rows(digits: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Digits as rows, which have no bounds and no tone curve: what comes out is linear."""
    images, target = digits
    return images.reshape(len(images), -1), target


@pytest.fixture(scope="module")
def plain(rows: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(styles=1, latent_dim=6, random_state=0).fit(*rows)


@pytest.fixture(scope="module")
def styled(rows: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=6, styles=3, random_state=0).fit(*rows)


@pytest.fixture(scope="module")
def drawn(rows: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(styles=1, latent_dim=6, training="sampled", random_state=0).fit(*rows)


@pytest.fixture(scope="module")
def words(rows: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(text_encoder="words", latent_dim=6, random_state=0).fit(*rows)


def of(request: Any, name: str) -> LinearDiffusion:
    fitted: LinearDiffusion = request.getfixturevalue(name)
    return fitted


# What is drawn


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
    model = LinearDiffusion(styles=1, latent_dim=7, tone=tone, standardize=standardize).fit(X, np.arange(200) % 2)
    index = np.array([1, 0, 0, 1, 1] * 4)
    fast, _ = model.sample(prompts=index, random_state=5)
    z = start_noise(5, 0, 20, 7).astype(np.float64)
    for j in range(2):
        values, vectors = np.linalg.eigh(model.covariances_[j])
        drawn = model.means_[j] + (z[index == j] @ vectors * np.sqrt(values)) @ vectors.T
        slow = model.decoder_.decode(drawn, np.full(len(drawn), j))
        level = 1.0 if dtype == np.uint8 else 2 / 255 if tone else 1e-5
        assert_allclose(fast[index == j].reshape(len(slow), -1), slow.astype(float), atol=level)
    assert fast.dtype == dtype
    assert fast.shape == (20, *X.shape[1:])


@pytest.mark.parametrize("sampler", [None, "ddim", "ddpm"])
@pytest.mark.parametrize("fixture", ["plain", "styled", "drawn", "words"])
def test_images_are_what_the_law_of_their_piece_makes_of_the_symmetric_noise(
    fixture: str, sampler: str | None, request: Any
) -> None:
    """``z_0 = m + (F F')^(1/2) eps``, or one run's matrix in the place of F, of latents written out."""
    model, prompts = of(request, fixture), np.array([3, 8, 8, 3, 5])
    if fixture == "drawn" and sampler != "ddim":
        return
    prior = model.prior_.asked(prompts)
    levels = SCHEDULES["cosine"].levels(4)
    run = Run(None if sampler is None else SAMPLERS[sampler], levels, 0.0, 3)
    index = prior.text.index(prompts)
    used, mix_of = np.unique(index, return_inverse=True)
    planned = plan(prior, model.decoder_, [((j, 1.0),) for j in used.tolist()], mix_of, np.zeros(5, int))
    eps, found = start_noise(3, 0, 5, 6).astype(np.float64), model.transform(draw(planned, run))
    for i in range(5):
        denoiser = planned.denoiser(planned.index[i])
        law = compile_law(run.sampler, levels, denoiser)
        if denoiser.basis is None:
            expected = law.matrix @ eps[i] + law.shift
        else:
            U = denoiser.basis
            root = (U * law.matrix) @ U.T
            assert_allclose(root, root.T, atol=1e-12)
            expected = root @ eps[i] + U @ law.shift + denoiser.beside
        assert_allclose(found[i], expected, atol=1e-5)


def test_only_prompts_that_are_asked_for_are_compiled(rgb: np.ndarray) -> None:
    model = LinearDiffusion(styles=1, latent_dim=7, random_state=5).fit(rgb, np.arange(200) % 5)
    asked = []

    class Recorder:
        def __getattr__(self, name: str) -> Any:
            return getattr(model.prior_, name)

        def component(self, parts: Any) -> Any:
            asked.append(parts[0].prompt)
            return model.prior_.component(parts)

    mixes = [((j, 1.0),) for j in range(5)]
    run = Run(None, SCHEDULES["cosine"].levels(50), 0.0, 5)
    index = np.array([3, 1, 3])
    some = draw(plan(Recorder(), model.decoder_, mixes, index, np.zeros(3, int)), run)  # type: ignore[arg-type]
    assert set(asked) == {1, 3}
    assert_array_equal(some, model.sample(prompts=[3, 1, 3])[0])
    assert_array_equal(some, model.sample(prompts=[3, 1, 3, 0, 4])[0][:3])


# Guidance


@pytest.mark.parametrize("sampler", ["exact", *SAMPLERS, "ddim, eta"])
@pytest.mark.parametrize("fixture", ["plain", "styled", "drawn", "words"])
def test_looking_at_a_loop_does_not_change_what_comes_of_it(fixture: str, sampler: str, request: Any) -> None:
    """Plain prompts, mixes and guidance: images are the same with the trajectory that ends at them."""
    model = of(request, fixture).set_params(schedule="cosine")
    name, eta = sampler.split(",")[0], 0.7 if "eta" in sampler else 0.0
    call = {"sampler": name, "eta": eta} | ({} if name in ("exact", "one-step") else {"n_steps": 6})
    how: list[dict[str, Any]] = [{"prompts": [3, 8, 3]}, {"prompts": [3, HALF]}]
    if name != "exact":
        how += [{"prompts": [3, 8], "guidance_scale": g, "negative_prompts": [8, 3]} for g in (0.5, 2.0)]
    elif fixture == "drawn":
        return
    for asked in how:
        images, _ = model.sample(**asked, **call)
        last, _, path = model.sample(**asked, **call, return_trajectory=True)
        assert_array_equal(path[-1], last)
        assert_allclose(images, last, **CLOSE)


@pytest.mark.parametrize("fixture", ["plain", "styled"])
def test_the_noise_of_a_trajectory_is_standard(fixture: str, request: Any) -> None:
    """Although it ends where another draw does: z_T is N(0, I), and steps have ddpm's variance."""
    model = of(request, fixture).set_params(schedule="cosine")
    path = model.sample(4000, "3", sampler="ddpm", n_steps=3, return_trajectory=True)[2]
    z = [model.transform(images) for images in path[:3]]
    for found, law in ((z[0], np.eye(6)), (z[1][:2000], None)):
        if law is not None:
            assert_allclose(np.cov(found.T), law, atol=0.1)
            assert_allclose(found.mean(axis=0), 0, atol=0.08)
    ddim = model.sample(4000, "3", sampler="ddim", eta=1.0, n_steps=3, return_trajectory=True, random_state=5)[2]
    for one, other in zip(path, ddim, strict=True):
        assert_allclose(np.cov(one.T), np.cov(other.T), atol=0.05)


@pytest.mark.parametrize("fixture", ["plain", "styled"])
def test_guidance_makes_a_prompt_plainer_and_keeps_its_contrast(fixture: str, rows: tuple, request: Any) -> None:
    """More like the prompt by Bayes' rule, less like the negative one (far out it stays so: pixels have bounds), and as
    far from the mean of all images."""
    model = of(request, fixture).set_params(schedule="cosine")
    mean, likely, length = rows[0].mean(axis=0), [], []
    for scale in (1.0, 1.5, 2.0, 3.0, 5.0):
        away = {"negative_prompts": "8"} if scale > 1 else {}
        images, _ = model.sample(200, "3", sampler="ddim", n_steps=10, guidance_scale=scale, **away)
        likely.append(np.mean(model.score_samples(images, [3] * 200) - model.score_samples(images, [8] * 200)))
        length.append(np.linalg.norm(images - mean, axis=1).mean())
    assert (np.diff(likely[:-1]) > 0).all()
    assert likely[-1] > 0.99 * likely[-2]
    assert_allclose(length, length[0], rtol=0.1)


@pytest.mark.parametrize("sampler", [None, *SAMPLERS])
@pytest.mark.parametrize("fixture", ["plain", "styled", "drawn"])
def test_a_scale_of_nearly_one_is_no_guidance(fixture: str, sampler: str | None, request: Any) -> None:
    model = of(request, fixture).set_params(schedule="cosine")
    steps = {} if sampler in ("one-step", None) else {"n_steps": 5}
    alone, _ = model.sample(prompts=[3, 8], sampler=sampler or "ddim", **steps)
    assert_array_equal(model.sample(prompts=[3, 8], sampler=sampler or "ddim", guidance_scale=1, **steps)[0], alone)
    if fixture == "drawn" or sampler != "ddpm":  # whose guided noise is another than the compiled one
        nearly, _ = model.sample(prompts=[3, 8], sampler=sampler, guidance_scale=1 + 1e-9, **steps)
        assert_allclose(nearly, alone, **CLOSE)


@pytest.mark.parametrize("sampler", STEPS)
@pytest.mark.parametrize("fixture", ["plain", "drawn"])
def test_guided_away_from_itself_a_prompt_stays(fixture: str, sampler: str, request: Any) -> None:
    """Looped, as guidance is: ddpm's noise is the loop's."""
    model, call = of(request, fixture), {"prompts": [3, HALF], "sampler": sampler, "n_steps": 6}
    guided, nearly = (model.sample(**call, guidance_scale=g, negative_prompts=[3, HALF])[0] for g in (4, 1 + 1e-9))
    assert_allclose(guided, nearly, **CLOSE)
    if sampler != "ddpm":
        assert_allclose(guided, model.sample(**call)[0], **CLOSE)


@pytest.mark.parametrize("fixture", ["plain", "drawn"])
def test_a_scale_of_zero_draws_from_all_prompts_pooled(fixture: str, rows: tuple, request: Any) -> None:
    """The pooled denoiser is that of a model without prompts."""
    model = of(request, fixture).set_params(schedule="cosine")
    guided, _ = model.sample(5, 3, sampler="heun", guidance_scale=0.0)
    pooled = LinearDiffusion(**model.get_params()).fit(rows[0])
    if fixture == "plain":
        assert_allclose(guided, pooled.sample(5, sampler="heun")[0], **CLOSE)
    other, _ = model.sample(5, 8, sampler="heun", guidance_scale=0.0)
    assert_allclose(guided, other, **CLOSE)


def test_guided_ddpm_of_styles_has_the_law_of_its_map(styled: LinearDiffusion) -> None:
    """The loop, which draws noise at each step, and ddim's eta = 1, in a thousand images."""
    call = {"n_steps": 8, "guidance_scale": 1.5, "styles": 1}
    ddpm, _ = styled.sample(2000, "3", sampler="ddpm", **call)
    ddim, _ = styled.sample(2000, "3", sampler="ddim", eta=1.0, **call | {"random_state": 7})
    assert_allclose(ddpm.mean(axis=0), ddim.mean(axis=0), atol=0.03)
    assert_allclose(np.cov(ddpm.T), np.cov(ddim.T), atol=0.02)
    path = styled.sample(20, "3", sampler="ddpm", return_trajectory=True, **call)[2]
    assert_allclose(path[-1], ddpm[:20], **CLOSE)


def test_an_image_does_not_depend_on_the_others(styled_model: LinearDiffusion) -> None:
    for call in ({}, {"sampler": "ddpm", "n_steps": 4}, {"guidance_scale": 1.5, "n_steps": 4}):
        alone, _ = styled_model.sample(prompts=[HALF, 3], **call)
        among, _ = styled_model.sample(prompts=[HALF, 3, {"1": 0.9, "7": 0.1}, 5, HALF], **call)
        assert np.abs(alone.astype(int) - among[:2]).max() <= 2


def test_many_bases_loop_in_portions(styled_model: LinearDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"n_samples": 30, "sampler": "ddim", "eta": 0.5, "n_steps": 3, "guidance_scale": 1.5}
    whole, _ = styled_model.sample(**call)
    monkeypatch.setattr("linear_diffusion.draw._BASES", 8 * 30**2 * 4)
    portions, _ = styled_model.sample(**call)
    assert np.abs(whole.astype(int) - portions).max() <= 2


# Mixes


@pytest.mark.parametrize("sampler", ["exact", *SAMPLERS])
@pytest.mark.parametrize("fixture", ["plain", "styled", "drawn", "styled_model", "model"])
def test_weights_one_and_zero_are_the_first_prompt(fixture: str, sampler: str, request: Any) -> None:
    model = of(request, fixture)
    if fixture == "drawn" and sampler == "exact":
        pytest.skip("sampled training knows no exact map")
    steps = {} if sampler in ("one-step", "exact") else {"n_steps": 5}
    alone, _ = model.sample(3, "3", sampler=sampler, **steps)
    mix, prompts = model.sample(3, {"3": 1, "8": 0}, sampler=sampler, **steps)
    assert_allclose(mix.astype(float), alone.astype(float), **CLOSE)
    assert prompts.tolist() == [{"3": 1, "8": 0}] * 3


def test_a_mix_has_the_weighted_mean_and_covariance(plain: LinearDiffusion) -> None:
    images, prompts = plain.sample(20_000, {"3": 0.25, "8": 0.75})
    z, (three, eight) = plain.transform(images), (3, 8)
    assert_allclose(z.mean(axis=0), 0.25 * plain.means_[three] + 0.75 * plain.means_[eight], atol=0.03)
    expected = 0.25 * plain.covariances_[three] + 0.75 * plain.covariances_[eight]
    assert_allclose(np.cov(z.T), expected, atol=0.06)
    assert prompts.dtype == object


def test_a_mix_of_styles_has_their_weighted_mean_and_covariance(styled: LinearDiffusion) -> None:
    images, _ = styled.sample(20_000, {"8": 0.75, "3": 0.25}, styles=2)
    means = styled.style_means_
    near = ((means[3] - means[8][2]) ** 2).sum(axis=1).argmin()
    assert_allclose(styled.transform(images).mean(axis=0), 0.75 * means[8][2] + 0.25 * means[3][near], atol=0.03)
    expected = 0
    for prompt, style, weight in ((8, 2, 0.75), (3, near, 0.25)):
        drawn = styled.prior_.law(prompt).mixture
        expected = expected + weight * (drawn.directions[style] * drawn.variances[style]) @ drawn.directions[style].T
    assert_allclose(np.cov(styled.transform(images).T), expected, atol=0.06)


@pytest.mark.parametrize("fixture", ["plain", "styled"])
def test_nearly_all_of_a_prompt_is_nearly_it(fixture: str, request: Any) -> None:
    """The same noise makes the same picture, so that a sheet of weights is a way from one to the other."""
    model = of(request, fixture)
    alone, _ = model.sample(3, "3")
    assert_allclose(model.sample(3, {"3": 1 - 1e-9, "8": 1e-9})[0], alone, rtol=0, atol=1e-4)


def test_the_order_of_a_mix_does_not_matter(styled_model: LinearDiffusion) -> None:
    one, _ = styled_model.sample(4, {"3": 0.5, "8": 0.5})
    other, _ = styled_model.sample(4, {"8": 0.5, "3": 0.5})
    assert_array_equal(one, other)


@pytest.mark.parametrize("fixture", ["plain", "styled", "drawn"])
@pytest.mark.parametrize("sampler", ["exact", *DETERMINISTIC])
def test_compiled_and_looped_mixes_are_the_same(fixture: str, sampler: str, request: Any) -> None:
    model = of(request, fixture).set_params(schedule="cosine")
    if fixture == "drawn" and sampler == "exact":
        pytest.skip("sampled training knows no exact map")
    steps = {} if sampler == "exact" else {"n_steps": 5}
    images, _ = model.sample(prompts=[HALF, 8], sampler=sampler, **steps)
    path = model.sample(prompts=[HALF, 8], sampler=sampler, return_trajectory=True, **steps)[2]
    assert_allclose(path[-1], images, **CLOSE)


# What is refused, before any work


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"guidance_scale": -1}, "guidance_scale=-1 must be a number from 0 to"),
        ({"guidance_scale": np.nan}, "guidance_scale=nan must be a number from 0 to"),
        ({"guidance_scale": 2, "sampler": "exact"}, 'sampler="exact" has no closed form with guidance'),
        ({"negative_prompts": 8}, "negative_prompts=8 change nothing at guidance_scale=1"),
        ({"guidance_scale": 2, "negative_prompts": []}, "negative_prompts lists 0 prompts for 2 images"),
        ({"guidance_scale": 2, "negative_prompts": [3, 3, 3]}, "negative_prompts lists 3 prompts for 2 images"),
        ({"guidance_scale": 2, "negative_prompts": "x"}, "unknown prompt 'x'"),
        ({"guidance_scale": 2, "negative_prompts": {3: 0.5}}, r"sum to 0.5, not to 1; divide each by the sum: \{3: 1"),
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": {3: 0.7, 8: 0.7}}, "sum to 1.4, not to 1"),
        ({"prompts": [3, {}]}, "mixed prompt {} is empty"),
        ({"prompts": [3, HALF, 8]}, "3 prompts do not go with 2 images"),
    ],
)
def test_a_call_that_is_refused(styled: LinearDiffusion, call: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        styled.sample(**{"n_samples": 2, "prompts": 3} | call)


def test_an_unknown_prompt_of_a_mix_is_told(styled: LinearDiffusion) -> None:
    with pytest.raises(UnknownPromptError, match="unknown prompt 'x'"):
        styled.sample(2, {"x": 0.5, "3": 0.5})
