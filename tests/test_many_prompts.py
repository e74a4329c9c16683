"""Many prompts of few images: they lean on each other, and what is learned does not depend on the order of images."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from linear_diffusion import LinearDiffusion, fit, load_images
from linear_diffusion.fit import encoder
from linear_diffusion.operators import inpaint

Images = tuple[np.ndarray, np.ndarray]


def pictures(counts: np.ndarray, seed: int) -> Images:
    """Float images (n, 8, 8) in [0, 1]: each prompt has a picture of its own, and all vary alike about it."""
    fixed, rng, y = np.random.default_rng(0), np.random.default_rng(seed), np.repeat(np.arange(len(counts)), counts)
    ways = fixed.standard_normal((6, 8, 8)).cumsum(axis=1).cumsum(axis=2)
    ways /= np.linalg.norm(ways, axis=(1, 2), keepdims=True)
    own = 0.15 * fixed.standard_normal((len(counts), 8, 8))
    X = 0.5 + own[y] + np.einsum("nw,wij->nij", rng.standard_normal((len(y), 6)) * np.linspace(1.0, 0.3, 6), ways)
    return np.clip(X + rng.normal(0, 0.02, X.shape), 0, 1), y


COUNTS = np.tile([1, 2, 3, 5, 8], 8)


@pytest.fixture(scope="module")
def few() -> Images:
    """40 prompts of one to eight images, and two of many."""
    return pictures(np.r_[COUNTS, 90, 120], 1)


@pytest.fixture(scope="module")
def leant(few: Images) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=30, random_state=0).fit(*few)


# The order of images


@pytest.mark.parametrize("kind", ["grey", "colour", "float64"])
def test_the_order_of_images_does_not_count(kind: str, grey: Images, rgb: np.ndarray) -> None:
    X, y = (rgb, np.arange(200) % 2) if kind == "colour" else (grey[0][:300], grey[1][:300] % 3)
    X, y = (X / 255, y) if kind == "float64" else (X, y)
    y = np.r_[[7, 7, 8], y[3:]]  # two prompts of few images
    order = np.random.default_rng(2).permutation(len(X))
    one, other = (LinearDiffusion(styles=4, latent_dim=9, random_state=0).fit(X[o], y[o]) for o in (..., order))
    assert_array_equal(one.classes_, other.classes_)
    assert_array_equal(one.prior_.owner, other.prior_.owner)
    assert_array_equal(one.prior_.curves, other.prior_.curves)
    assert_allclose(one.means_, other.means_, atol=1e-6)
    assert_allclose(one.covariances_, other.covariances_, atol=1e-3 * one.covariances_.max())  # float16 is in between
    for mine, theirs in ((one.decoder_.curves, other.decoder_.curves), (one.decoder_.details, other.decoder_.details)):
        off = np.abs(mine.table.astype(float) - theirs.table.astype(float)) * (255 if kind == "float64" else 1)
        assert off.mean() < 0.05
    images = [m.sample(60)[0].astype(float) * (255 if kind == "float64" else 1) for m in (one, other)]
    off = np.abs(images[0] - images[1])
    assert off.mean() < 0.2
    assert (off > 1).mean() < 0.01


# Leaning on others


def test_how_much_a_prompt_leans_is_one_for_one_image_and_falls_with_each_more(leant: LinearDiffusion) -> None:
    share = leant.pooled_share_
    assert share.shape == (42,)
    assert_array_equal(share[COUNTS.size :], 0.0)
    share = share[: COUNTS.size]
    assert_array_equal(share[COUNTS == 1], 1.0)
    assert (np.diff([share[n == COUNTS].max() for n in (8, 5, 3, 2)]) > 0).all()
    assert share[COUNTS == 2].max() < 1.0
    several = COUNTS > 1
    images = (COUNTS[several] - 1) * share[several] / (1 - share[several])  # that the others count as, b
    assert_allclose(images, images[0], rtol=1e-9)
    assert 0.1 < images[0] < 1000


def test_prompts_of_few_images_are_one_family_and_share_what_is_said_to_be_shared(leant: LinearDiffusion) -> None:
    prior, g = leant.prior_, 3
    assert_array_equal(prior.family, np.r_[np.zeros(COUNTS.size), 1, 2])
    assert prior.basis.shape == (g, 30, 30)
    assert prior.variances.shape == prior.gain.shape == (g, 30)
    assert leant.decoder_.details.table.shape[0] == g
    assert np.shares_memory(prior.law(0).basis, prior.law(1).basis)
    assert_array_equal(np.unique(prior.curve_owner), np.arange(g))
    assert_array_equal(np.concatenate([prior.components_of(j) for j in range(g)]), np.arange(len(prior.owner)))


def test_means_are_those_of_a_prompts_own_images(few: Images, leant: LinearDiffusion) -> None:
    X, y = few
    z = leant.transform(X)
    assert_allclose(leant.means_, [z[y == j].mean(axis=0) for j in range(42)], atol=1e-5)


def test_no_prompt_leans_where_each_has_enough_images(
    styled_model: LinearDiffusion, model: LinearDiffusion, sampled_model: LinearDiffusion
) -> None:
    for fitted in (styled_model, model, sampled_model):
        assert_array_equal(fitted.pooled_share_, np.zeros(10))


def test_held_out_images_are_likelier_than_with_each_prompt_alone(
    few: Images, leant: LinearDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = pictures(np.full(40, 4), 3)
    monkeypatch.setattr(fit, "families", lambda counts, _: np.arange(len(counts)))
    alone, *damped = (LinearDiffusion(latent_dim=30, tone=False, ridge=r).fit(*few) for r in (1e-9, 0.3, 1.0, 3.0))
    assert_array_equal(alone.pooled_share_, 0.0)
    gained = leant.score_samples(X, y) - alone.score_samples(X, y)
    for n in (1, 2, 3, 5, 8):
        assert np.median(gained[COUNTS[y] == n]) > 10.0
    # With a ridge, chosen for it, each prompt alone is still worse.
    assert leant.score(X, y) > max(model.score(X, y) for model in damped) + 20.0
    assert (leant.predict(X) == y).mean() > 0.95


def test_samples_of_a_prompt_of_one_image_vary_as_those_of_others_do(few: Images, leant: LinearDiffusion) -> None:
    spread = {n: [leant.sample(200, int(j))[0].var(axis=0).sum() for j in np.flatnonzero(n == COUNTS)] for n in (1, 8)}
    assert 0.5 < np.mean(spread[1]) / np.mean(spread[8]) < 2
    X, y = few
    for j in np.flatnonzero(COUNTS == 1)[:3]:
        assert np.abs(leant.sample(400, int(j))[0].mean(axis=0) - X[y == j][0]).mean() < 0.08


def test_gaussians_whose_covariances_would_take_too_much_share_one(
    few: Images, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    X, y = few
    monkeypatch.setattr(encoder, "_MOST_BYTES", 0)
    model = LinearDiffusion(styles=1, latent_dim=20, random_state=0).fit(X, y)
    assert len(recwarn) == 0  # a prompt of one image varies as all do
    assert_array_equal(model.pooled_share_, 1.0)
    z = model.transform(X)
    means = np.stack([z[y == j].mean(axis=0) for j in range(42)])
    assert_allclose(model.means_, means, atol=1e-5)
    within = np.cov((z - means[y]).T, bias=True)
    assert_allclose(model.covariances_, np.broadcast_to(within, (42, 20, 20)), atol=1e-5 * np.trace(within))
    images = model.sample(prompts=model.classes_)[0]
    assert images.min() >= 0 and images.max() <= 1


# What a model with families answers


def test_a_saved_model_is_the_same_to_the_last_bit(
    leant: LinearDiffusion, tmp_path: Path, same_priors: Callable
) -> None:
    leant.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    same_priors(loaded.prior_, leant.prior_)
    assert_array_equal(loaded.pooled_share_, leant.pooled_share_)
    for options in ({}, {"sampler": "heun", "n_steps": 4}, {"guidance_scale": 2.0, "n_steps": 4}):
        assert_array_equal(loaded.sample(80, **options)[0], leant.sample(80, **options)[0])


def test_an_image_does_not_depend_on_which_other_prompts_are_drawn(leant: LinearDiffusion) -> None:
    prompts = np.arange(42)
    together = leant.sample(prompts=prompts)[0]
    fresh = pickle.loads(pickle.dumps(leant))  # without what was worked out for all prompts together
    for j in (0, 7, 39, 41):
        alone = fresh.sample(prompts=np.full(42, j))[0]
        assert np.abs(alone[j] - together[j]).max() < 1 / 255
    for j in (1, 8):
        found, expected = fresh.prior_.law(j).mixture, leant.prior_.law(j).mixture
        for name in ("means", "directions", "variances"):
            assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_models_with_families_answer_all_questions(few: Images, leant: LinearDiffusion, scale: float) -> None:
    X, y = few
    mask = np.zeros((8, 8), bool)
    mask[:3] = True
    drawn = [
        leant.sample(50, guidance_scale=scale, n_steps=None if scale == 1 else 10)[0],
        leant.sample(4, {0: 0.5, 4: 0.5})[0],
        leant.sample(3, 1, negative_prompts=2, guidance_scale=2.0, n_steps=5)[0],
        leant.edit(X[:5], y[:5][::-1], 0.5),
        leant.interpolate(X[0], X[-1], 4, prompts=[int(y[0]), int(y[-1])]),
        leant.restore(X[:5], inpaint(mask)),
        leant.denoise(X[:5], 0.1),
    ]
    for images in drawn:
        assert np.isfinite(images).all()
        assert (images >= -0.5).all() and (images <= 1.5).all()
    for images in drawn[:5]:
        assert images.min() >= 0 and images.max() <= 1
    probability = leant.predict_proba(X)
    assert_allclose(probability.sum(axis=1), 1.0)
    assert np.isfinite(leant.score_samples(X)).all()
    assert np.isfinite(leant.bits_per_dim(X[:9])).all()


@pytest.mark.parametrize(
    ("n_prompts", "each", "dtype"), [(300, 4, np.uint8), (300, 4, np.float32), (1100, 2, np.uint8)]
)
def test_many_prompts_fit_and_their_samples_are_images(n_prompts: int, each: int, dtype: type) -> None:
    X, y = pictures(np.full(n_prompts, each), 4)
    X = np.rint(255 * X).astype(np.uint8) if dtype == np.uint8 else X.astype(dtype)
    model = LinearDiffusion(latent_dim=40, random_state=0).fit(X, y)
    assert model.prior_.basis.shape == (1, 40, 40)
    assert ((model.pooled_share_ > 0) & (model.pooled_share_ < 1)).all()
    images, prompts = model.sample(prompts=model.classes_)
    assert images.dtype == dtype
    assert np.isfinite(images).all()
    assert images.min() >= 0 and images.max() <= (255 if dtype == np.uint8 else 1)
    nearest = cdist(model.transform(images), model.means_).argmin(axis=1)
    assert (nearest == prompts).mean() > 100 / n_prompts
    assert ks_2samp(X.ravel(), model.sample(2000)[0].ravel()).statistic < 0.03  # tones of training


def test_curves_go_with_their_images_in_any_order() -> None:
    """A family's prompts share tone curves, so that images in the order of prompts are not in that of curves."""
    images, digits = load_images("digits")
    order = np.argsort(digits, kind="stable")[np.arange(1600)]
    model = LinearDiffusion(latent_dim=30, random_state=0).fit(images[order], np.arange(1600) // 8 * 37 % 200)
    decoder, rng = model.decoder_, np.random.default_rng(0)
    n_curves = model.prior_.n_curves
    assert n_curves > 1 and (np.diff(model.prior_.curves) < 0).any()
    numbers, curve = rng.uniform(0, 255, (200, 64)), rng.integers(0, n_curves, 200)
    order = np.argsort(curve, kind="stable")
    assert_array_equal(decoder.finish(numbers, curve)[order], decoder.finish(numbers[order], curve[order]))
    each = [decoder.finish(numbers[[i]], curve[[i]])[0] for i in range(200)]
    assert_array_equal(decoder.finish(numbers, curve), each)
