"""A small model: what it keeps of a large one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.prior import ClassPrior
from linear_diffusion.fit import Parts
from linear_diffusion.fit.small import _ward, component_bytes, shrink
from linear_diffusion.utils.arrays import orthonormal

Digits = tuple[np.ndarray, np.ndarray]
HALF, SINGLE = 2.0**-10, 2.0**-22


def parts_of(model: LinearDiffusion) -> Parts:
    return Parts(model.encoder_, model.prior_, model.decoder_)


def model_of(parts: Parts, like: LinearDiffusion) -> LinearDiffusion:
    model = LinearDiffusion(random_state=0)
    model.n_features_in_ = like.n_features_in_
    return model._take(parts, like.n_images_, None)


@pytest.fixture(scope="module")
def small(styled_model: LinearDiffusion) -> Parts:
    return shrink(parts_of(styled_model), 12, 4)


@pytest.mark.parametrize(("k", "styles"), [(12, 4), (12, 99), (1, 1), (30, 1)])
def test_each_prompt_keeps_its_mean_and_its_covariance(styled_model: LinearDiffusion, k: int, styles: int) -> None:
    found = model_of(shrink(parts_of(styled_model), k, styles), styled_model)
    unit = found.encoder_.scale / styled_model.encoder_.scale
    means, covariances = unit * styled_model.means_[:, :k], unit**2 * styled_model.covariances_[:, :k, :k]
    assert_allclose(found.means_, means, rtol=0, atol=HALF * np.abs(means).max())
    assert_allclose(found.covariances_, covariances, rtol=0, atol=HALF * np.abs(covariances).max())
    assert found.latent_dim_ == k
    assert [len(s) for s in found.style_weights_] == [min(styles, len(s)) for s in styled_model.style_weights_]
    assert_allclose([s.sum() for s in found.style_weights_], 1.0)


def test_latents_keep_a_mean_variance_of_one_and_their_pixels(styled_model: LinearDiffusion, small: Parts) -> None:
    encoder, old = small.encoder, styled_model.encoder_
    assert_allclose(encoder.scale**2 * encoder.variances.mean(), 1.0, rtol=1e-6)
    assert_allclose(encoder.components, old.components[:12], rtol=0, atol=HALF)
    rows = styled_model.decoder_.image.rows(styled_model.sample(50, random_state=0)[0])
    assert_allclose(encoder.encode(rows) / encoder.scale, old.encode(rows)[:, :12] / old.scale, rtol=0, atol=0.2)


def test_what_is_dropped_is_residual(styled_model: LinearDiffusion, small: Parts) -> None:
    """Pythagoras: the mean squared length of a prompt's images is that of latents and of what they leave out."""

    def lengths(parts: Parts) -> np.ndarray:
        latents = [np.trace(c) + m @ m for c, m in zip(parts.prior.covariances, parts.prior.means, strict=True)]
        return parts.prior.residual + np.array(latents) / parts.encoder.scale**2

    assert_allclose(lengths(small), lengths(parts_of(styled_model)), rtol=HALF / 4)  # factors are in half precision


def test_styles_are_those_that_lie_near_each_other() -> None:
    """As scikit-learn's Ward, where all weigh the same; and heavy ones stay where they are."""
    from sklearn.cluster import AgglomerativeClustering

    means = np.random.default_rng(0).standard_normal((40, 5))
    for n in (1, 7, 39, 40):
        theirs = AgglomerativeClustering(n, linkage="ward").fit_predict(means)
        mine = _ward(np.full(40, 1 / 40), means, n)
        assert_array_equal(mine[:, None] == mine, theirs[:, None] == theirs)
    line = np.array([[0.0], [1.0], [2.2]])
    assert_array_equal(_ward(np.array([0.5, 0.4, 0.1]), line, 2), [0, 1, 1])


def test_numbers_fit_into_small_dtypes(small: Parts) -> None:
    prior, decoder = small.prior, small.decoder
    for a in (prior.component_means, prior.matched_means, decoder.curves.table):
        assert_array_equal(a, a.astype(np.float16))
    for a in (small.encoder.components, prior.basis, prior.variances, prior.gain, small.encoder.variances):
        assert_array_equal(a, a.astype(np.float32))
    for a in (decoder.curves.table, decoder.details.table):  # pixels are whole, and so is what curves make of them
        assert_array_equal(a, np.rint(a))


@pytest.mark.parametrize(("k", "d"), [(1, 200), (10, 2000), (30, 12288)])
def test_components_of_large_images_are_orthonormal_in_half_precision_too(k: int, d: int) -> None:
    """Where they are kept so, a file of them is read."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((d, k)))[0].T
    assert (component_bytes(k, d), component_bytes(k, d - 1)) == ((2, 4) if d == 200 * k else (2, 2))
    assert orthonormal(basis.astype(np.float16).astype(np.float64))


def test_samples_vary_as_those_of_the_large_model(styled_model: LinearDiffusion) -> None:
    """Moments of finished images, prompt by prompt, as far as 28 of 30 components and half the styles can have them."""
    found = model_of(shrink(parts_of(styled_model), 28, 8), styled_model)
    for prompt in styled_model.classes_.tolist():
        ours, theirs = (
            m.sample(2000, prompt, random_state=1)[0].reshape(2000, -1).astype(float) for m in (found, styled_model)
        )
        assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), rtol=0, atol=14)
        assert abs(ours.var(axis=0).sum() / theirs.var(axis=0).sum() - 1) < 0.08


def test_what_is_small_is_only_rounded(styled_model: LinearDiffusion, small: Parts) -> None:
    rounded = shrink(parts_of(styled_model), 99, 99)
    assert rounded.encoder.scale == styled_model.encoder_.scale
    assert_array_equal(rounded.prior.factors, styled_model.prior_.factors)
    ours, theirs = (m.sample(99, random_state=0)[0] for m in (model_of(rounded, styled_model), styled_model))
    assert np.abs(ours.astype(int) - theirs).mean() < 0.5
    again = shrink(small, 12, 4)
    assert_array_equal(again.prior.component_means, small.prior.component_means)
    assert_array_equal(again.decoder.details.table, small.decoder.details.table)


def test_one_gaussian_stays_one(model: LinearDiffusion) -> None:
    found = shrink(parts_of(model), 5, 7).prior
    assert isinstance(found, ClassPrior)
    assert found.factors.shape == (10, 5, 0)
    assert found.gain is None
    expected = model.covariances_[:, :5, :5] / model.encoder_.variances[:5].mean() * model.encoder_.variances.mean()
    assert_allclose(found.covariances, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"tone": False}, {"standardize": True}, {"styles": 1, "tone": False}])
def test_a_model_of_any_settings_becomes_small(grey: Digits, settings: dict) -> None:
    large = LinearDiffusion(latent_dim=20, random_state=0, **settings).fit(*grey)
    found = model_of(shrink(parts_of(large), 10, 3), large)
    assert (found.decoder_.curves is None) == (large.decoder_.curves is None)
    assert found.sample(5)[0].shape == (5, 8, 8)


def test_colours_and_floats_become_small(rgb: np.ndarray) -> None:
    prompts = np.arange(200) % 2
    for images in (rgb, rgb / 255, rgb.astype(np.uint16) * 257):
        large = LinearDiffusion(latent_dim=20, random_state=0).fit(images, prompts)
        found = model_of(shrink(parts_of(large), 10, 3), large)
        drawn = found.sample(100, random_state=0)[0]
        assert drawn.dtype == images.dtype
        low, high = large.decoder_.image.pixel_range
        assert abs(drawn.mean() - large.sample(100, random_state=0)[0].mean()) < 0.02 * (high - low)


def test_other_priors_are_refused(sampled_model: LinearDiffusion) -> None:
    with pytest.raises(TypeError, match="RegressionPrior has no styles to merge"):
        shrink(parts_of(sampled_model), 5, 5)
