"""Models with styles: any data has them, samples are drawn from them, and files keep them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_1samp, ks_2samp

from linear_diffusion import LinearDiffusion
from linear_diffusion import draw as drawing
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.denoiser.prior import one_gaussian_each
from linear_diffusion.draw import Run, draw
from linear_diffusion.fit.encoder import Settings, Work, learn
from linear_diffusion.fit.matching import _LEAST_FREEDOM, _RANGE
from linear_diffusion.fit.source import ArraySource
from linear_diffusion.fit.styles import RANK
from linear_diffusion.image.decoder import Decoder
from linear_diffusion.image.format import ImageFormat
from linear_diffusion.image.tone import fit_tone_curves
from linear_diffusion.noise import CLEAN, find_schedule, start_std
from linear_diffusion.plan import choose, draw_components, draw_prompts, plan
from linear_diffusion.sampler import SAMPLERS, choose_levels, trajectory
from linear_diffusion.text.prompts import OneHotEncoder
from linear_diffusion.utils.streams import BLOCK, PROMPTS, STYLES, even_draws

Digits = tuple[np.ndarray, np.ndarray]


def drawn_from(model: LinearDiffusion, prompt: int, style: int) -> GaussianDenoiser:
    """What samples of a style are drawn from."""
    return model.prior_.components(prompt).component(style)


DATA: dict[str, Callable[[np.random.Generator], tuple[np.ndarray, Any]]] = {
    "one image": lambda rng: (rng.random((1, 4, 4)), None),
    "one image a prompt": lambda rng: (rng.random((5, 4, 4)), np.arange(5)),
    "three images": lambda rng: (rng.random((43, 4, 4)), np.repeat(["many", "few"], [40, 3])),
    "identical images": lambda rng: (np.repeat(rng.random((1, 4, 4)), 60, axis=0), None),
    "identical in one prompt": lambda rng: (
        np.r_[np.full((40, 4, 4), 0.5), rng.random((40, 4, 4))],
        np.arange(80) // 40,
    ),
    "black": lambda rng: (np.zeros((50, 4, 4)), None),
    "two images, many times": lambda rng: (np.tile(rng.random((2, 4, 4)), (40, 1, 1)), None),
    "constant pixels": lambda rng: (np.where(rng.random((4, 4)) < 0.5, 0.3, rng.random((60, 4, 4))), None),
    "one pixel": lambda rng: (rng.random((60, 1, 1)), None),
    "fewer images than pixels": lambda rng: (rng.random((30, 9, 9)), np.arange(30) % 2),
    "one outlier": lambda rng: (np.r_[rng.random((60, 4, 4)) * 1e-3, np.ones((1, 4, 4))], None),
    "one image and few": lambda rng: (rng.random((66, 4, 4)), np.repeat([0, 1, 2, 3], [1, 2, 3, 60])),
    "a prompt a thousand times rarer": lambda rng: (rng.random((3003, 3, 3)), np.repeat([0, 1], [3000, 3])),
    "one image a style": lambda rng: (np.r_[np.eye(5).repeat(5, 1).reshape(5, 5, 5), np.ones((55, 5, 5)) / 2], None),
    "RGB": lambda rng: (rng.random((60, 4, 3, 3)) ** 3, np.arange(60) % 2),
    "two tones": lambda rng: (np.round(rng.random((60, 4, 4))), np.arange(60) % 2),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("styles", [2, 1000])
def test_any_data_has_styles_and_finite_samples_without_warnings(data: str, dtype: type, styles: int) -> None:
    X, y = DATA[data](np.random.default_rng(15))
    X = np.rint(255 * X).astype(np.uint8) if dtype == np.uint8 else X.astype(dtype)
    for tone in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore" if "one image" in data else "error", "(?s).* 1 image only")
            model = LinearDiffusion(styles=styles, tone=tone, random_state=0).fit(X, y)
            if tone:
                prior, gain = model.prior_, model.prior_.gain
                assert ((gain >= 1 / _RANGE) & (gain <= _RANGE)).all()
                counts = np.unique(np.zeros(len(X)) if y is None else y, return_counts=True)[1]
                freedom = np.bincount(prior.family_of, counts) - np.bincount(prior.family_of[prior.owner])
                assert_array_equal(gain[freedom < _LEAST_FREEDOM], 1.0)
                assert np.isfinite(prior.matched_means).all()
            for options in ({}, {"sampler": "ddim"}, {"sampler": "ddpm"}):
                steps = {"n_steps": 5} if options else {}
                images = model.sample(20, **options, **steps)[0]
                assert images.dtype == dtype
                assert np.isfinite(images).all()
                assert np.isfinite(model.sample(3, **options, **steps, return_trajectory=True)[2]).all()
        if data in ("one image", "identical images", "black"):
            # A curve knows pixels by their tone.
            atol = 1e-5 if not tone else 1.0 if dtype == np.uint8 else 1 / 255
            assert_allclose(images.astype(float), np.repeat(X[:1], 20, axis=0), atol=atol)


def test_fits_are_deterministic(grey: Digits, same_priors: Callable) -> None:
    images, y = (a[grey[1] < 4] for a in grey)
    one, other = (LinearDiffusion(styles=100, latent_dim=12, random_state=seed).fit(images, y) for seed in (0, 1))
    same_priors(one.prior_, other.prior_)
    assert_array_equal(one.decoder_.curves.table, other.decoder_.curves.table)
    assert_array_equal(one.sample(9, random_state=5)[0], other.sample(9, random_state=5)[0])


# The model


@pytest.fixture(scope="module")
def styled(grey: Digits) -> LinearDiffusion:
    """Fitted on grey digits with the default's styles; read only."""
    return LinearDiffusion(latent_dim=30, random_state=0).fit(*grey)


@pytest.fixture(scope="module")
def toy() -> LinearDiffusion:
    """Two prompts, three pixels, no tone: each prompt is two clouds far apart."""
    rng = np.random.default_rng(16)
    centers = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 1.0], [2.0, 5.0, -4.0]])
    cloud = rng.choice(4, 900, p=[0.4, 0.1, 0.2, 0.3])
    X = centers[cloud] + rng.standard_normal((900, 3)) @ np.array([[1.0, 0.3, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.3]])
    return LinearDiffusion(styles=2, tone=False, random_state=0).fit(X, np.array(["a", "b"])[cloud // 2])


def test_defaults_are_165_styles_of_rank_16_in_500_dimensions() -> None:
    params = LinearDiffusion().get_params()
    assert (params["styles"], params["latent_dim"], RANK) == (165, 500, 16)
    one_shot = LinearDiffusion.one_shot().get_params()
    assert (one_shot["styles"], one_shot["latent_dim"], one_shot["training"]) == (1, 144, "sampled")


@pytest.mark.parametrize("tone", [True, False])
def test_one_style_is_the_plain_model_bit_by_bit(grey: Digits, tone: bool) -> None:
    """The plain one is put together here from its parts: moments, one Gaussian per prompt, curves."""
    images, y = grey
    rows = images.reshape(-1, 64)
    image = ImageFormat.of(images, "auto")
    source = ArraySource(rows, y, np.arange(10), image)
    learned = learn(source, Settings(12, standardize=False, rescale=True), Work.of(source))
    latents, encoder = learned.latents, learned.encoder
    prior = one_gaussian_each(
        OneHotEncoder(np.arange(10)), latents.weights, learned.residual, latents.means, latents.covariances
    )
    curves = None
    if tone:
        gaussians = [prior.law(j).gaussian for j in range(10)]
        gain = [(np.sqrt(g.variances) * g.basis).T @ encoder.to_pixels for g in gaussians]
        mixtures = (
            ((g.mean @ encoder.to_pixels + encoder.mean)[None], (own**2).sum(axis=0)[None], np.ones(1))
            for g, own in zip(gaussians, gain, strict=True)
        )
        curves = fit_tone_curves(mixtures, learned.histogram, image.tone_range)
    index = np.arange(500) % 10
    mixes = [((j, 1.0),) for j in range(10)]
    planned = plan(prior, Decoder(encoder, image, curves), mixes, index, np.zeros(500, np.intp))
    expected = draw(planned, Run(None, [CLEAN], 0.0, 7))
    found = LinearDiffusion(styles=1, latent_dim=12, tone=tone).fit(images, y).sample(prompts=index, random_state=7)[0]
    assert_array_equal(found, expected)


def test_a_prompt_with_few_images_has_the_law_of_the_plain_model() -> None:
    X = np.random.default_rng(17).standard_normal((15, 4))
    styled, plain = LinearDiffusion(styles=100).fit(X), LinearDiffusion(styles=1).fit(X)
    spread = np.sqrt(np.diag(plain.covariances_[0]))
    assert_allclose(styled.means_[0], plain.means_[0], atol=1e-6)  # kept in float32
    off = styled.covariances_[0] - plain.covariances_[0]
    # Factors are kept in float16: an entry of F F' is off by 2 * 2^-11 at most, as a share of what it is a product of.
    assert_allclose(off / np.outer(spread, spread), 0.0, atol=2**-10)


def test_styles_leave_the_encoder_and_the_moments_of_prompts_alone(grey: Digits) -> None:
    images, y = grey
    styled, plain = (LinearDiffusion(latent_dim=12, styles=s).fit(images, y) for s in (5, 1))
    assert_array_equal(styled.transform(images[:9]), plain.transform(images[:9]))
    assert_allclose(styled.means_, plain.means_, atol=1e-6)  # kept in float32
    # That of all styles together, each of which leans on its neighbours.
    off = np.linalg.norm(styled.covariances_ - plain.covariances_, axis=(1, 2))
    assert (off < 0.015 * np.linalg.norm(plain.covariances_, axis=(1, 2))).all()
    assert_allclose(*(np.trace(m.covariances_, axis1=1, axis2=2) for m in (styled, plain)), rtol=0.006)


def test_styles_are_listed_with_their_frequencies(styled: LinearDiffusion, model: LinearDiffusion) -> None:
    assert len(styled.style_weights_) == len(styled.style_means_) == 10
    for j in range(10):
        assert styled.style_means_[j].shape == (len(styled.style_weights_[j]), 30)
        assert 10 <= len(styled.style_weights_[j]) <= 18  # 174 to 183 images, at most one for ten
        assert_allclose(styled.style_weights_[j].sum(), 1.0)
        assert_allclose(styled.style_weights_[j] @ styled.style_means_[j], styled.means_[j], atol=1e-5)
        assert_array_equal(model.style_weights_[j], [1.0])
        assert_array_equal(model.style_means_[j], model.means_[j : j + 1])


@pytest.mark.parametrize("name", ["exact", *SAMPLERS])
def test_a_trajectory_ends_at_the_images_that_are_drawn_at_once(toy: LinearDiffusion, name: str) -> None:
    steps = {} if name == "exact" else {"n_steps": 1 if name == "one-step" else 7}
    at_once, labels = toy.sample(300, sampler=name, **steps)
    images, looped_labels, path = toy.sample(300, sampler=name, **steps, return_trajectory=True)
    assert_array_equal(labels, looped_labels)
    assert_array_equal(images, path[-1])
    assert_allclose(at_once, images, atol=1e-5)


def test_a_trajectory_ends_at_the_images_with_tone_curves_too(styled: LinearDiffusion) -> None:
    at_once, path = styled.sample(300)[0], styled.sample(300, return_trajectory=True)[2]
    difference = np.abs(at_once.astype(int) - path[-1])
    assert (difference > 1).mean() < 1e-3  # tones are multiples of 16: rounding may lift a pixel to the next
    assert (at_once != path[-2]).mean() > 0.1


def test_every_group_has_its_own_tone_curve(rgb: np.ndarray) -> None:
    X = np.tile(rgb, (4, 1, 1, 1))
    model = LinearDiffusion(styles=9, latent_dim=9, random_state=0).fit(X, np.arange(800) % 2)
    table = model.decoder_.curves.table
    assert table.shape[:2] == (4, 3)
    assert len(np.unique(table.reshape(4, -1), axis=0)) == 4
    at_once, path = model.sample(400)[0], model.sample(400, return_trajectory=True)[2]
    assert (np.abs(at_once.astype(int) - path[-1]) > 1).mean() < 1e-3
    for j, options in [(0, {}), (1, {}), (1, {"sampler": "heun", "n_steps": 20})]:
        drawn = model.sample(2000, j, **options)[0]
        for c in range(3):
            found, trained = (
                np.cumsum(np.bincount(x[..., c].ravel(), minlength=256)) / x[..., c].size
                for x in (drawn, X[np.arange(800) % 2 == j])
            )
            assert np.abs(found - trained).max() < 0.03


def test_ddim_tends_to_the_exact_samples_of_the_same_seed(toy: LinearDiffusion, styled: LinearDiffusion) -> None:
    exact = toy.sample(100)[0]
    errors = [np.abs(toy.sample(100, sampler="ddim", n_steps=n)[0] - exact).max() for n in (20, 200, 2000)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 0.02
    looped = toy.sample(100, sampler="ddim", n_steps=2000, return_trajectory=True)[0]
    assert np.abs(looped - exact).max() < 0.02
    coarse, fine = (
        np.abs(styled.sample(20, sampler="ddim", n_steps=n)[0].astype(int) - styled.sample(20)[0]).mean()
        for n in (5, 500)
    )
    assert fine < 0.1 * coarse


def assert_same_law(one: np.ndarray, other: np.ndarray) -> None:
    """Mean, covariance and every coordinate's distribution, within the error of so many draws."""
    n, scale = min(len(one), len(other)), one.std(axis=0)
    assert_allclose((one.mean(axis=0) - other.mean(axis=0)) / scale, 0.0, atol=6 / np.sqrt(n))
    assert_allclose((np.cov(one.T) - np.cov(other.T)) / np.outer(scale, scale), 0.0, atol=10 / np.sqrt(n))
    rotated = np.linalg.qr(np.random.default_rng(0).standard_normal((one.shape[1],) * 2))[0]
    for direction in (*np.eye(one.shape[1]), *rotated):
        assert ks_2samp(one @ direction, other @ direction).pvalue > 1e-3 / (2 * one.shape[1])


def stepped(model: LinearDiffusion, prompt: int, name: str, n_steps: int, n: int, seed: int) -> np.ndarray:
    """Latents by the exact denoiser of all the prompt's styles together, which is not linear."""
    levels = choose_levels(SAMPLERS[name], find_schedule("cosine"), n_steps)
    rng, k = np.random.default_rng(seed), model.latent_dim_
    noise = (rng.standard_normal((n, k)) for _ in levels)
    z = start_std(levels[0]) * rng.standard_normal((n, k))
    *_, last = trajectory(SAMPLERS[name], levels, model.prior_.components(prompt), z, noise, 0.0)
    return last


@pytest.mark.parametrize(("name", "n_steps"), [("ddim", 200), ("heun", 60), ("ddpm", 300), ("dpmpp_2m", 60)])
@pytest.mark.parametrize("prompt", ["a", "b"])
def test_the_mixtures_denoiser_draws_from_the_same_law_as_drawn_styles(
    toy: LinearDiffusion, name: str, n_steps: int, prompt: str
) -> None:
    n = 4000
    exact = toy.transform(toy.sample(n, prompt, random_state=1)[0])
    assert_same_law(exact, stepped(toy, "ab".index(prompt), name, n_steps, n, seed=2))


def energy_test(one: np.ndarray, other: np.ndarray, n_permutations: int = 199) -> float:
    """p-value of the energy distance (Szekely and Rizzo 2004) by permutation."""
    both, n, rng = np.vstack([one, other]), len(one), np.random.default_rng(0)
    distance = np.linalg.norm(both[:, None] - both, axis=2)

    def energy(order: np.ndarray) -> float:
        sign = np.where(np.arange(len(both)) < n, 1.0 / n, -1.0 / (len(both) - n))[order]
        return -float(sign @ distance @ sign)

    found = energy(np.arange(len(both)))
    return (1 + sum(energy(rng.permutation(len(both))) >= found for _ in range(n_permutations))) / (n_permutations + 1)


def test_a_two_sample_test_tells_the_mixture_from_one_gaussian_and_not_from_itself(toy: LinearDiffusion) -> None:
    exact = toy.transform(toy.sample(600, "a", random_state=3)[0])
    mean, covariance = exact.mean(axis=0), np.cov(exact.T)
    one_gaussian = np.random.default_rng(5).multivariate_normal(mean, covariance, 600)
    assert energy_test(exact, stepped(toy, 0, "heun", 60, 600, seed=4)) > 0.01
    assert energy_test(exact, one_gaussian) < 0.01


def test_the_samples_of_a_style_have_its_sharpened_moments(toy: LinearDiffusion) -> None:
    n = 30_000
    for prompt, style in [("a", 0), ("a", 1), ("b", 1)]:
        z = toy.transform(toy.sample(n, prompt, styles=style)[0])
        law = drawn_from(toy, "ab".index(prompt), style)
        mean, covariance = law.mean, law.covariance
        spread = np.sqrt(np.diag(covariance))
        assert_allclose((z.mean(axis=0) - mean) / spread, 0.0, atol=5 / np.sqrt(n))
        assert_allclose((np.cov(z.T) - covariance) / np.outer(spread, spread), 0.0, atol=7 / np.sqrt(n))


# DDIM takes variance off the narrowest directions, as one over the number of steps; sharpening makes them narrow.
@pytest.mark.parametrize("options", [{}, {"sampler": "ddim", "n_steps": 3000}], ids=str)
def test_samples_of_more_dimensions_than_a_style_has_directions_are_sharpened(options: dict) -> None:
    rng, n = np.random.default_rng(21), 8000
    X = rng.standard_normal((1000, 60)) * np.geomspace(3.0, 0.3, 60)
    model = LinearDiffusion(styles=2, random_state=0).fit(X)
    z = model.transform(model.sample(n, styles=0, **options)[0])
    law, sharp = model.prior_.law(0), drawn_from(model, 0, 0).covariance
    factor = law.basis @ law.factors[0]
    learned = (law.basis * law.variances) @ law.basis.T + factor @ factor.T
    spread = np.sqrt(np.diag(sharp))
    assert_allclose((np.cov(z.T) - sharp) / np.outer(spread, spread), 0.0, atol=7 / np.sqrt(n))
    assert_allclose(np.trace(np.cov(z.T)), np.trace(learned), rtol=0.02)
    assert np.linalg.eigvalsh(sharp)[:30].sum() < 0.5 * np.linalg.eigvalsh(learned)[:30].sum()


def test_samples_with_styles_have_the_pixels_of_training(grey: Digits, styled: LinearDiffusion) -> None:
    images, y = grey
    for prompt in range(10):
        drawn, trained = (
            np.cumsum(np.bincount(x.ravel(), minlength=256)) / x.size
            for x in (styled.sample(2000, prompt)[0], images[y == prompt])
        )
        assert np.abs(drawn - trained).max() < 0.03


# Asking for styles


def test_styles_are_asked_for_by_number(toy: LinearDiffusion) -> None:
    one, other = (toy.sample(6, "a", styles=s)[0] for s in (0, 1))
    nearest = np.linalg.norm(toy.transform(one)[:, None] - toy.style_means_[0], axis=2).argmin(axis=1)
    assert_array_equal(nearest, 0)
    mixed = toy.sample(6, "a", styles=[0, 1, 1, 0, 0, 1])[0]
    assert_allclose(mixed, np.where(np.array([0, 1, 1, 0, 0, 1])[:, None], other, one), atol=1e-6)
    assert_array_equal(mixed, toy.sample(6, "a", styles=np.array([0, 1, 1, 0, 0, 1], np.uint8))[0])
    assert_array_equal(one, toy.sample(6, "a", styles=np.int64(0))[0])
    prompts = ["b", "a", "b"]
    both = toy.sample(prompts=prompts, styles=[1, 0, 0])[0]
    assert_allclose(both[1], toy.sample(3, "a", styles=0)[0][1], atol=1e-6)
    for name in ("ddim", "ddpm"):
        stepped = toy.sample(prompts=prompts, styles=[1, 0, 0], sampler=name, n_steps=5, return_trajectory=True)[0]
        near = [
            np.linalg.norm(z - toy.style_means_["ab".index(p)], axis=1).argmin()
            for z, p in zip(toy.transform(stepped), prompts, strict=True)
        ]
        assert near == [1, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"styles": 2}, "styles=2 is not among the 2 styles of prompt 'a': 0 to 1"),
        ({"styles": -1}, "styles=-1 is not among the 2 styles of prompt 'a': 0 to 1"),
        ({"styles": [0, 1, 9, -7]}, "styles=9 is not among the 2 styles of prompt 'a': 0 to 1"),
        ({"prompts": "b", "styles": 10**6}, "styles=1000000 is not among the 2 styles of prompt 'b': 0 to 1"),
        ({"styles": [0, 1]}, r"styles=\[0, 1\] must be a style number, one per image, or None to draw them"),
        ({"styles": []}, r"styles=\[\] must be a style number"),
        ({"styles": [[0, 1, 0, 1]]}, r"styles=\[\[0, 1, 0, 1\]\] must be"),
        ({"styles": 1.0}, r"styles=1\.0 must be a style number"),
        ({"styles": True}, "styles=True must be"),
        ({"styles": "mixtur"}, "styles='mixtur' must be"),
        ({"styles": "0"}, "styles='0' must be"),
        ({"styles": np.nan}, "styles=nan must be"),
        ({"styles": {"a": 1}}, r"styles=\{'a': 1\} must be"),
        ({"styles": "mixture"}, "styles='mixture' must be a style number"),
    ],
)
def test_styles_that_no_prompt_has_are_refused_and_named(toy: LinearDiffusion, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy.sample(4, **{"prompts": "a", **arguments})


def test_a_model_without_styles_has_one(model: LinearDiffusion, sampled_model: LinearDiffusion) -> None:
    for plain in (model, sampled_model):
        steps = {"sampler": "ddim", "n_steps": 5}
        expected = plain.sample(5, **steps, return_trajectory=True)[0]
        assert_array_equal(plain.sample(5, **steps, styles=0, return_trajectory=True)[0], expected)
        with pytest.raises(ValueError, match="styles=1 is not among the 1 style of prompt 3: 0 to 0"):
            plain.sample(2, 3, styles=1)


def test_sampled_training_knows_no_styles(grey: Digits) -> None:
    drawn = [
        LinearDiffusion(styles=s, latent_dim=5, training="sampled", random_state=0).fit(*grey).sample(9, n_steps=5)[0]
        for s in (1, 100)
    ]
    assert_array_equal(*drawn)


# Drawing evenly


@pytest.mark.parametrize("purpose", [PROMPTS, STYLES])
def test_even_draws_are_uniform_each_and_do_not_depend_on_how_many(purpose: int) -> None:
    draws = np.stack([even_draws(seed, purpose, 300) for seed in range(3000)])
    assert ((draws >= 0) & (draws < 1)).all()
    for i in (0, 1, 17, 299):
        assert ks_1samp(draws[:, i], lambda x: np.clip(x, 0, 1)).pvalue > 1e-3
    for n in (0, 1, 2, 100, 299):
        assert_array_equal(even_draws(5, purpose, n), draws[5, :n])


@pytest.mark.parametrize("purpose", [PROMPTS, STYLES])
def test_even_draws_come_out_as_often_as_they_should_however_many(purpose: int) -> None:
    shares = np.random.default_rng(18).dirichlet(np.full(10, 2.0))
    for seed in range(20):
        chosen = choose(shares, even_draws(seed, purpose, 3000))
        n = np.arange(1, 3001)[:, None]
        counts = np.cumsum(chosen[:, None] == np.arange(10), axis=0)
        assert np.abs(counts - n * shares).max() <= 4  # chance: about 50


def test_prompts_and_styles_are_drawn_evenly_together(styled: LinearDiffusion) -> None:
    n = 2000
    index = draw_prompts(3, styled.weights_, n)
    prior = styled.prior_
    drawn = draw_components(3, prior, index)
    counts = [np.bincount(drawn[index == j], minlength=len(prior.shares_of(j))) for j in range(10)]
    expected = np.concatenate([n * styled.weights_[j] * prior.shares_of(j) for j in range(10)])
    off = np.concatenate(counts) - expected
    assert np.sqrt((off**2 / expected).mean()) < 0.5  # chance alone would be at 1
    one = draw_components(3, prior, np.full(500, 4))
    assert np.abs(np.bincount(one) - 500 * prior.shares_of(4)).max() < 2.5  # chance: about 17


def test_prompts_that_take_turns_have_the_styles_of_prompts_in_blocks() -> None:
    rng = np.random.default_rng(0)
    n_prompts, each = 70, 40
    images = rng.random((n_prompts * each, 4, 4))
    model = LinearDiffusion(styles=4, latent_dim=6, tone=False).fit(images, np.repeat(np.arange(n_prompts), each))
    blocks, turns = np.repeat(model.classes_, 8), np.tile(model.classes_, 8)
    drawn = [draw_components(0, model.prior_, prompts) for prompts in (blocks, turns)]
    assert_array_equal(drawn[0].reshape(-1, 8), drawn[1].reshape(8, -1).T)
    assert np.mean([len(np.unique(own)) for own in drawn[1].reshape(8, -1).T]) > 3.5  # of 4, in 8 draws


@pytest.mark.parametrize("superblock", [1, 2, 16])
@pytest.mark.parametrize("arguments", [{}, {"prompts": "b"}, {"sampler": "ddim", "n_steps": 3}], ids=str)
def test_an_image_does_not_depend_on_how_many_are_asked_for(
    toy: LinearDiffusion, superblock: int, arguments: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, labels = toy.sample(2 * BLOCK + 70, **arguments)
    monkeypatch.setattr(drawing, "_SUPERBLOCK", superblock * BLOCK)
    for n in (1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1, 2 * BLOCK + 70):
        few, few_labels = toy.sample(n, **arguments)
        assert_allclose(few, many[:n], atol=1e-5)
        assert_array_equal(few_labels, labels[:n])
    assert len(np.unique(many, axis=0)) == len(many)


def test_a_trajectory_with_styles_does_not_depend_on_how_many_are_asked_for(toy: LinearDiffusion) -> None:
    arguments = {"sampler": "ddpm", "n_steps": 3, "return_trajectory": True}
    many = toy.sample(BLOCK + 3, **arguments)[2]
    for n in (1, 5, BLOCK, BLOCK + 1):
        assert_allclose(toy.sample(n, **arguments)[2], many[:, :n], atol=1e-9)


@pytest.mark.parametrize("trajectory", [False, True])
@pytest.mark.parametrize("options", [{}, {"sampler": "ddpm", "n_steps": 4}], ids=str)
def test_an_image_does_not_depend_on_the_prompts_and_styles_of_others(
    toy: LinearDiffusion, options: dict, trajectory: bool
) -> None:
    def draw_images(prompts: str, styles: Any) -> np.ndarray:
        return toy.sample(prompts=list(prompts), styles=styles, **options, return_trajectory=trajectory)[0]

    mixed = draw_images("abba", [0, 1, 0, 1])
    assert_allclose(draw_images("aabb", [0, 0, 0, 0])[[0, 2]], mixed[[0, 2]], atol=1e-6)
    assert_allclose(draw_images("bbaa", [0, 1, 1, 1])[[1, 3]], mixed[[1, 3]], atol=1e-6)


# Files


@pytest.mark.parametrize("tone", [True, False])
@pytest.mark.parametrize("kind", ["RGB", "grey float32", "float64 rows"])
def test_a_saved_model_with_styles_draws_the_same_bits(
    tmp_path: Path, rgb: np.ndarray, kind: str, tone: bool, same_priors: Callable
) -> None:
    X = np.tile(rgb, (4, 1, 1, 1)) if kind == "RGB" else np.tile(rgb[..., 0], (4, 1, 1)) / 255
    X = X.astype(np.float32) if kind == "grey float32" else X.reshape(800, -1) if kind == "float64 rows" else X
    pixel_range = (0, 1) if kind == "float64 rows" else "auto"
    model = LinearDiffusion(styles=9, latent_dim=9, tone=tone, pixel_range=pixel_range, random_state=2)
    model.fit(X, np.arange(800) % 2)
    assert len(np.unique(model.prior_.curves)) == 4
    model.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    same_priors(loaded.prior_, model.prior_)
    for options in ({}, {"styles": 3}, {"sampler": "heun", "n_steps": 4}, {"sampler": "ddpm", "n_steps": 4}):
        for looped in (False, True):
            pair = (m.sample(40, **options, return_trajectory=looped)[0] for m in (loaded, model))
            assert_array_equal(*pair)
    for found, expected in zip(loaded.style_means_, model.style_means_, strict=True):
        assert_array_equal(found, expected)
