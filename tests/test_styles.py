"""Styles: what a mixture is made of, what it denoises to, and how it is found and drawn from."""

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import ks_1samp, ks_2samp, multivariate_normal

from linear_diffusion import LinearDiffusion, render
from linear_diffusion.denoiser.gaussian import GaussianDenoiser, from_basis, to_basis
from linear_diffusion.denoiser.law import _WIDEST, REMAINDER, MixtureDenoiser, Styles
from linear_diffusion.denoiser.prior import pack_factors, unpack_factors
from linear_diffusion.fit.clusters import LEADING, RANK, _describe, _lent, _own_directions, fit_prompt, fit_styles
from linear_diffusion.fit.encoder import learn
from linear_diffusion.image.format import ImageFormat
from linear_diffusion.image.tone import fit_tone_curves
from linear_diffusion.noise import CLEAN, Level
from linear_diffusion.sampler import SAMPLERS, exact_law, exact_trajectory
from linear_diffusion.streams import BLOCK, PROMPTS, STYLES, even_draws

Digits = tuple[np.ndarray, np.ndarray]
LEVELS = [Level(0.9, 0.3), Level(0.5, 0.8), Level(0.05, 1.0), Level(1.0, 2.0)]


def make_styles(counts: tuple[int, ...] = (3, 2), k: int = 4, r: int = 2, seed: int = 0) -> Styles:
    """Prompts of that many styles each, with nothing alike."""
    rng, p, m = np.random.default_rng(seed), len(counts), sum(counts)
    return Styles(
        owner=np.repeat(np.arange(p), counts),
        group=np.arange(m),
        shares=np.concatenate([rng.dirichlet(np.full(n, 4.0)) for n in counts]),
        means=2 * rng.standard_normal((m, k)),
        factors=rng.standard_normal((m, k, r)).astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((p, k, k)))[0],
        variances=rng.uniform(0.05, 0.6, (p, k)),
    )


def own_covariance(styles: Styles, j: int) -> np.ndarray:
    """``D + F F'``, in the prompt's basis."""
    factor = styles.factors[j].astype(np.float64)
    return np.diag(styles.variances[styles.owner[j]]) + factor @ factor.T


def latent_moments(styles: Styles, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a style's latents."""
    basis = styles.basis[styles.owner[j]]
    return basis @ styles.means[j], basis @ own_covariance(styles, j) @ basis.T


def log_density(styles: Styles, prompt: int, z: np.ndarray, level: Level) -> np.ndarray:
    """log p_t of each style (n, s), by scipy, from latents."""
    logs = []
    for j in np.flatnonzero(styles.owner == prompt):
        mean, covariance = latent_moments(styles, j)
        noisy = level.alpha**2 * covariance + level.sigma**2 * np.eye(len(mean))
        logs.append(multivariate_normal(level.alpha * mean, noisy).logpdf(z))
    return np.stack(logs, axis=1)


def mixture_log_density(styles: Styles, prompt: int, z: np.ndarray, level: Level) -> np.ndarray:
    shares = styles.shares[styles.owner == prompt]
    return logsumexp(log_density(styles, prompt, z, level) + np.log(shares), axis=1)


def denoised(denoiser: Any, z: np.ndarray, level: Level) -> np.ndarray:
    return from_basis(denoiser.basis, denoiser.z0_map(level)(to_basis(denoiser.basis, z)))


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
            for options in ({}, {"sampler": "ddim"}, {"sampler": "ddpm", "styles": "mixture"}):
                steps = {"n_steps": 5} if options else {}
                images = model.sample(20, **options, **steps)[0]
                assert images.dtype == dtype
                assert np.isfinite(images).all()
                assert np.isfinite(model.sample(3, **options, **steps, return_trajectory=True)[2]).all()
        if data in ("one image", "identical images", "black"):
            # A curve knows pixels by their tone.
            atol = 1e-5 if not tone else 1.0 if dtype == np.uint8 else 1 / 255
            assert_allclose(images.astype(float), np.repeat(X[:1], 20, axis=0), atol=atol)


def test_fits_are_deterministic(grey: Digits) -> None:
    one, other = (LinearDiffusion(styles=100, latent_dim=12, random_state=seed).fit(*grey) for seed in (0, 1))
    for field in fields(Styles):
        assert_array_equal(getattr(one._mixture, field.name), getattr(other._mixture, field.name))
    assert_array_equal(one._curves.table, other._curves.table)
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
    """The plain one is put together here from its parts: moments, one Gaussian per prompt, one folded product."""
    images, y = grey
    rows = images.reshape(-1, 64)
    image = ImageFormat.of(images, "auto")
    learned = learn(rows, y, np.arange(10), image, 12, standardize=False, rescale=True)
    law = exact_law(GaussianDenoiser.from_covariances(learned.latents.means, learned.latents.covariances))
    curves = None
    if tone:
        gain = law.matrix.swapaxes(1, 2) @ learned.encoder.to_pixels
        moments = learned.encoder.decode(law.shift), (gain**2).sum(axis=1)
        mixtures = ((mean[None], variance[None], np.ones(1)) for mean, variance in zip(*moments, strict=True))
        curves = fit_tone_curves(mixtures, learned.histogram, image.pixel_range)
    index = np.arange(500) % 10
    decoder = render.Decoder(learned.encoder, image, curves)
    expected = render.render(lambda used: law[used], index, decoder, 7)
    found = LinearDiffusion(styles=1, latent_dim=12, tone=tone).fit(images, y).sample(prompts=index, random_state=7)[0]
    assert_array_equal(found, expected)


def test_a_prompt_with_few_images_has_the_law_of_the_plain_model() -> None:
    X = np.random.default_rng(17).standard_normal((15, 4))
    styled, plain = LinearDiffusion(styles=100).fit(X), LinearDiffusion(styles=1).fit(X)
    gaussian, spread = styled._mixture.gaussian(0), np.sqrt(np.diag(plain.covariances_[0]))
    assert_allclose(gaussian.means, plain.means_[0], atol=1e-6)  # kept in float32
    off = (gaussian.basis * gaussian.variances) @ gaussian.basis.T - plain.covariances_[0]
    # Factors are kept in float16: an entry of F F' is off by 2 * 2^-11 at most, as a share of what it is a product of.
    assert_allclose(off / np.outer(spread, spread), 0.0, atol=2**-10)


def test_styles_leave_the_encoder_and_the_linear_denoiser_alone(grey: Digits) -> None:
    images, y = grey
    styled, plain = (LinearDiffusion(latent_dim=12, styles=s).fit(images, y) for s in (5, 1))
    assert_array_equal(styled.transform(images[:9]), plain.transform(images[:9]))
    assert_array_equal(styled.means_, plain.means_)
    assert_array_equal(styled.denoiser(3).variances, plain.denoiser(3).variances)
    # A model with styles keeps the basis in float32, to be small: all else is the same.
    assert_array_equal(styled.denoiser(3).basis, plain.denoiser(3).basis.astype(np.float32))
    assert_allclose(styled.covariances_, plain.covariances_, atol=1e-6 * plain.covariances_.max())


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
    table = model._curves.table
    assert table.shape[:2] == (4, 3)
    assert len(np.unique(table.reshape(4, -1), axis=0)) == 4
    at_once, path = model.sample(400)[0], model.sample(400, return_trajectory=True)[2]
    assert (np.abs(at_once.astype(int) - path[-1]) > 1).mean() < 1e-3
    for j, options in [(0, {}), (1, {}), (1, {"sampler": "heun", "n_steps": 20, "styles": "mixture"})]:
        drawn = model.sample(2000, j, **options)[0]
        for c in range(3):
            found, trained = (
                np.cumsum(np.bincount(x[..., c].ravel(), minlength=256)) / x[..., c].size
                for x in (drawn, X[np.arange(800) % 2 == j])
            )
            assert np.abs(found - trained).max() < 0.03


def test_ddpm_has_the_same_law_drawn_at_once_or_looped(toy: LinearDiffusion) -> None:
    n, arguments = 20_000, {"prompts": "a", "styles": 0, "sampler": "ddpm", "n_steps": 6}
    at_once = toy.sample(n, **arguments)[0]
    looped = toy.sample(n, **arguments, random_state=1, return_trajectory=True)[2][-1]
    assert_same_law(at_once, looped)


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


@pytest.mark.parametrize(("name", "n_steps"), [("ddim", 200), ("heun", 60), ("ddpm", 300), ("dpmpp_2m", 60)])
@pytest.mark.parametrize("prompt", ["a", "b"])
def test_the_mixtures_denoiser_draws_from_the_same_law_as_drawn_styles(
    toy: LinearDiffusion, name: str, n_steps: int, prompt: str
) -> None:
    n = 4000
    exact = toy.sample(n, prompt, random_state=1)[0]
    stepped, labels = toy.sample(n, prompt, sampler=name, n_steps=n_steps, styles="mixture", random_state=2)
    assert set(labels) == {prompt}
    assert_same_law(exact, stepped)


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
    exact = toy.sample(600, "a", random_state=3)[0]
    stepped = toy.sample(600, "a", sampler="heun", n_steps=60, styles="mixture", random_state=4)[0]
    mean, covariance = exact.mean(axis=0), np.cov(exact.T)
    one_gaussian = np.random.default_rng(5).multivariate_normal(mean, covariance, 600)
    assert energy_test(exact, stepped) > 0.01
    assert energy_test(exact, one_gaussian) < 0.01


def test_the_samples_of_a_style_have_its_sharpened_moments(toy: LinearDiffusion) -> None:
    sharp, n = toy._mixture.sharpened(), 30_000
    for prompt, style, j in [("a", 0, 0), ("a", 1, 1), ("b", 1, 3)]:
        z = toy.transform(toy.sample(n, prompt, styles=style)[0])
        mean, covariance = latent_moments(sharp, j)
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
    _, sharp = latent_moments(model._mixture.sharpened(), 0)
    _, learned = latent_moments(model._mixture, 0)
    spread = np.sqrt(np.diag(sharp))
    assert_allclose((np.cov(z.T) - sharp) / np.outer(spread, spread), 0.0, atol=7 / np.sqrt(n))
    assert_allclose(np.trace(np.cov(z.T)), np.trace(learned), rtol=0.02)
    assert np.linalg.eigvalsh(sharp)[:30].sum() < 0.5 * np.linalg.eigvalsh(learned)[:30].sum()


def test_the_mixture_ends_with_the_curve_of_the_likeliest_group(
    rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LinearDiffusion(styles=9, latent_dim=9, random_state=0).fit(np.tile(rgb, (4, 1, 1, 1)))
    assert len(np.unique(model._mixture.group)) == 3

    def draw() -> np.ndarray:
        return model.sample(200, sampler="heun", n_steps=10, styles="mixture")[0]

    images = draw()
    asked = MixtureDenoiser.group
    groups: list[np.ndarray] = []
    monkeypatch.setattr(MixtureDenoiser, "group", lambda self, z: groups.append(asked(self, z)) or groups[-1])
    assert_array_equal(draw(), images)
    assert set(groups[0]) == {0, 1, 2}
    for g in range(3):
        monkeypatch.setattr(MixtureDenoiser, "group", lambda self, z, g=g: np.full(len(z), g))
        same = (draw() == images).all(axis=(1, 2, 3))
        assert same[groups[0] == g].all()
        assert not same[groups[0] != g].any()


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
        ({"styles": [0, 1]}, r'styles=\[0, 1\] must be a style number, one per image, "mixture" or None to draw them'),
        ({"styles": []}, r"styles=\[\] must be a style number"),
        ({"styles": [[0, 1, 0, 1]]}, r"styles=\[\[0, 1, 0, 1\]\] must be"),
        ({"styles": 1.0}, r"styles=1\.0 must be a style number"),
        ({"styles": True}, "styles=True must be"),
        ({"styles": "mixtur"}, "styles='mixtur' must be"),
        ({"styles": "0"}, "styles='0' must be"),
        ({"styles": np.nan}, "styles=nan must be"),
        ({"styles": {"a": 1}}, r"styles=\{'a': 1\} must be"),
        ({"styles": "mixture"}, 'styles="mixture" needs a step sampler; "exact" draws from the same mixture as it is'),
        ({"styles": "mixture", "sampler": "exact"}, 'styles="mixture" needs a step sampler'),
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
        assert_array_equal(plain.sample(5, **steps, styles="mixture")[0], expected)
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
        chosen = render.choose(shares, even_draws(seed, purpose, 3000))
        n = np.arange(1, 3001)[:, None]
        counts = np.cumsum(chosen[:, None] == np.arange(10), axis=0)
        assert np.abs(counts - n * shares).max() <= 4  # chance: about 50


def test_prompts_and_styles_are_drawn_evenly_together(styled: LinearDiffusion) -> None:
    n = 2000
    index = render.draw_prompts(3, styled.weights_, n)
    drawn = render.draw_styles(3, styled._mixture, index)
    assert_array_equal(styled._mixture.owner[drawn], index)
    expected = n * styled._mixture.shares * styled.weights_[styled._mixture.owner]
    off = np.bincount(drawn, minlength=len(expected)) - expected
    assert np.sqrt((off**2 / expected).mean()) < 0.5  # chance alone would be at 1
    one = render.draw_styles(3, styled._mixture, np.full(500, 4))
    own = styled._mixture.of(4)
    assert_allclose(np.bincount(one, minlength=len(expected))[own] / 500, styled._mixture.shares[own], atol=2 / 500)


def test_prompts_that_take_turns_have_the_styles_of_prompts_in_blocks() -> None:
    rng = np.random.default_rng(0)
    n_prompts, each = 70, 40
    images = rng.random((n_prompts * each, 4, 4))
    model = LinearDiffusion(styles=4, latent_dim=6, random_state=0).fit(images, np.repeat(np.arange(n_prompts), each))
    blocks, turns = np.repeat(model.classes_, 8), np.tile(model.classes_, 8)
    drawn = [render.draw_styles(0, model._mixture, prompts) for prompts in (blocks, turns)]
    assert_array_equal(np.sort(drawn[0]), np.sort(drawn[1]))
    assert np.mean([len(np.unique(own)) for own in drawn[1].reshape(8, -1).T]) > 3.5  # of 4, in 8 draws


@pytest.mark.parametrize("superblock", [1, 2, 16])
@pytest.mark.parametrize("arguments", [{}, {"prompts": "b"}, {"sampler": "ddim", "n_steps": 3}], ids=str)
def test_an_image_does_not_depend_on_how_many_are_asked_for(
    toy: LinearDiffusion, superblock: int, arguments: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, labels = toy.sample(2 * BLOCK + 70, **arguments)
    monkeypatch.setattr(render, "_SUPERBLOCK", superblock * BLOCK)
    for n in (1, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1, 2 * BLOCK + 70):
        few, few_labels = toy.sample(n, **arguments)
        assert_allclose(few, many[:n], atol=1e-5)
        assert_array_equal(few_labels, labels[:n])
    assert len(np.unique(many, axis=0)) == len(many)


@pytest.mark.parametrize("styles", [None, "mixture"])
def test_a_trajectory_with_styles_does_not_depend_on_how_many_are_asked_for(toy: LinearDiffusion, styles: Any) -> None:
    arguments = {"sampler": "ddpm", "n_steps": 3, "styles": styles, "return_trajectory": True}
    many = toy.sample(BLOCK + 3, **arguments)[2]
    for n in (1, 5, BLOCK, BLOCK + 1):
        assert_allclose(toy.sample(n, **arguments)[2], many[:, :n], atol=1e-9)


@pytest.mark.parametrize("trajectory", [False, True])
@pytest.mark.parametrize("options", [{}, {"sampler": "ddpm", "n_steps": 4}], ids=str)
def test_an_image_does_not_depend_on_the_prompts_and_styles_of_others(
    toy: LinearDiffusion, options: dict, trajectory: bool
) -> None:
    def draw(prompts: str, styles: Any) -> np.ndarray:
        return toy.sample(prompts=list(prompts), styles=styles, **options, return_trajectory=trajectory)[0]

    mixed = draw("abba", [0, 1, 0, 1])
    assert_allclose(draw("aabb", [0, 0, 0, 0])[[0, 2]], mixed[[0, 2]], atol=1e-6)
    assert_allclose(draw("bbaa", [0, 1, 1, 1])[[1, 3]], mixed[[1, 3]], atol=1e-6)
    if options:
        mixed = draw("abba", "mixture")
        assert_allclose(draw("aabb", "mixture")[[0, 2]], mixed[[0, 2]], atol=1e-9)


# Files


@pytest.mark.parametrize("tone", [True, False])
@pytest.mark.parametrize("kind", ["RGB", "grey float32", "float64 rows"])
def test_a_saved_model_with_styles_draws_the_same_bits(tmp_path: Path, rgb: np.ndarray, kind: str, tone: bool) -> None:
    X = np.tile(rgb, (4, 1, 1, 1)) if kind == "RGB" else np.tile(rgb[..., 0], (4, 1, 1)) / 255
    X = X.astype(np.float32) if kind == "grey float32" else X.reshape(800, -1) if kind == "float64 rows" else X
    pixel_range = (0, 1) if kind == "float64 rows" else "auto"
    model = LinearDiffusion(styles=9, latent_dim=9, tone=tone, pixel_range=pixel_range, random_state=2)
    model.fit(X, np.arange(800) % 2)
    assert len(np.unique(model._mixture.group)) == 4
    model.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    for field in fields(Styles):
        found, expected = (getattr(m._mixture, field.name) for m in (loaded, model))
        assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    for options in (
        {},
        {"styles": 3},
        {"sampler": "heun", "n_steps": 4},
        {"styles": "mixture", "sampler": "ddpm", "n_steps": 4},
    ):
        for trajectory in (False, True):
            pair = (m.sample(40, **options, return_trajectory=trajectory)[0] for m in (loaded, model))
            assert_array_equal(*pair)
    for found, expected in zip(loaded.style_means_, model.style_means_, strict=True):
        assert_array_equal(found, expected)


def test_one_prompts_styles_are_those_of_a_model_of_it(grey: Digits) -> None:
    model = LinearDiffusion(styles=5, latent_dim=8, random_state=0).fit(*grey)
    styles = model._mixture
    for c in range(len(styles.basis)):
        part, own = styles.only(c), styles.of(c)
        assert_array_equal(part.owner, 0)
        assert part.group[0] == 0
        assert_array_equal(np.diff(part.group), np.diff(styles.group[own]))
        moments = (s.pixel_moments(j, model._encoder.to_pixels) for s, j in ((part, 0), (styles, c)))
        for found, expected in zip(*moments, strict=True):
            assert_array_equal(found, expected)
