import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from linear_diffusion import LinearDiffusion, NotEnoughMemoryError, operators
from linear_diffusion.tasks.density import Densities, population, unseen
from linear_diffusion.tasks.likelihood import log_densities
from linear_diffusion.tasks.mixture import TEMPERATURE, UNMODELLED, Posterior
from linear_diffusion.tasks.restore import POPULATION

Digits = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((200, 5)) @ RNG.standard_normal((5, 5)) + np.arange(5.0)
LABELS = np.repeat([0, 1], [120, 80])
ROWS[LABELS == 1] += [2.0, -1.0, 0.0, 1.0, 0.5]
NOISY = ROWS[::20] + RNG.standard_normal((10, 5))


def prior_of(model: LinearDiffusion, c: int) -> tuple[np.ndarray, np.ndarray]:
    """A prompt's pixels as mean and covariance, written out from the learned numbers."""
    V, std, tau2 = model.components_, model.encoder_.std, model.prior_.residual[c] / (5 - model.latent_dim_)
    inside = V.T @ model.covariances_[c] @ V / model.scaling_factor_**2
    covariance = std[:, None] * (inside + tau2 * (np.eye(5) - V.T @ V)) * std
    return model.inverse_transform(model.means_[c][None])[0], covariance


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("noise_std", [0.05, 0.7, 4.0])
def test_denoised_image_is_the_conditional_mean_of_the_joint_gaussian(standardize: bool, noise_std: float) -> None:
    """E[x | y] = m + S (S + noise_std^2 I)^-1 (y - m); without a prompt, averaged by p(prompt | y)."""
    model = LinearDiffusion(styles=1, latent_dim=3, standardize=standardize).fit(ROWS, LABELS)
    means, evidence = [], []
    for c in range(2):
        m, S = prior_of(model, c)
        noisy = S + noise_std**2 * np.eye(5)
        means.append(m + (NOISY - m) @ np.linalg.solve(noisy, S))
        evidence.append(multivariate_normal(m, noisy).logpdf(NOISY))
        assert_allclose(model.denoise(NOISY, noise_std, c), means[-1], rtol=1e-8, atol=1e-9)
    share = softmax(np.stack(evidence) + np.log([[0.6], [0.4]]), axis=0)
    expected = share[0][:, None] * means[0] + share[1][:, None] * means[1]
    assert_allclose(model.denoise(NOISY, noise_std), expected, rtol=1e-8, atol=1e-9)
    each = np.arange(10) % 2
    assert_allclose(model.denoise(NOISY, noise_std, each), np.where(each[:, None] == 0, *means), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("standardize", [True, False])
def test_no_noise_leaves_the_image_and_all_noise_leaves_the_prior_mean(standardize: bool) -> None:
    model = LinearDiffusion(styles=1, latent_dim=3, standardize=standardize).fit(ROWS, LABELS)
    assert_array_equal(model.denoise(NOISY, 0.0), NOISY)
    assert_allclose(model.denoise(NOISY, 1e-5), NOISY, atol=1e-6)
    for c in range(2):
        assert_allclose(model.denoise(NOISY, 1e6, c), np.tile(prior_of(model, c)[0], (10, 1)), atol=1e-5)
    assert_allclose(model.denoise(NOISY, 1e6), np.tile(ROWS.mean(axis=0), (10, 1)), atol=1e-5)


def test_denoising_brings_noisy_digits_closer_and_knowing_the_prompt_brings_them_closer_still(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=1, latent_dim=30).fit(images[200:], y[200:])
    noisy = images[:200] + 0.4 * np.random.default_rng(1).standard_normal((200, 8, 8))

    def error(restored: np.ndarray) -> float:
        return float(((restored - images[:200]) ** 2).mean())

    blind, prompted = error(model.denoise(noisy, 0.4)), error(model.denoise(noisy, 0.4, y[:200]))
    assert prompted < blind < 0.5 * error(noisy)


def test_bytes_come_back_as_bytes_within_their_range(grey: Digits) -> None:
    images, y = grey
    as_bytes, as_floats = (LinearDiffusion(styles=1, latent_dim=12).fit(X, y) for X in (images, images.astype(float)))
    restored = as_bytes.denoise(images[:20], 60.0)
    assert restored.dtype == np.uint8
    exact = as_floats.denoise(images[:20].astype(float), 60.0)
    assert np.abs(restored - np.clip(exact, 0, 255)).max() < 0.6
    assert_array_equal(as_bytes.denoise(images[:20], 0.0), images[:20])


def test_floating_images_may_leave_the_pixel_range(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=1, latent_dim=12).fit(images, y)
    assert_array_equal(model.denoise(images[:2] * 3 - 1, 0.0), images[:2] * 3 - 1)


def seen_through(H, x, noise_std, seed=0):
    return x @ H.T + noise_std * np.random.default_rng(seed).standard_normal((len(x), len(H)))


OPERATORS = {
    "wide": np.random.default_rng(1).standard_normal((2, 5)),
    "mask": np.eye(5)[[0, 1, 3, 4]],
    "tall": np.random.default_rng(2).standard_normal((7, 5)),
    "blocks": np.array([[0.5, 0.5, 0, 0, 0], [0, 0, 0.5, 0.5, 0]]),
}


@pytest.mark.parametrize("styles", [1, 4])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("noise_std", [0.0, 0.4])
@pytest.mark.parametrize("name", OPERATORS)
def test_posterior_is_brute_force_conditioning(
    curved, components_of, conditioned, name, noise_std, standardize, styles
):
    """Of the joint Gaussian of image and what is seen, component by component; k = 2, less than a mask leaves."""
    if name == "tall" and noise_std == 0.0:
        pytest.skip("the covariance of what is seen is singular; see test_repeated_rows_say_nothing_new")
    rows, labels = curved
    model, H = LinearDiffusion(styles=styles, latent_dim=2, standardize=standardize).fit(rows, labels), OPERATORS[name]
    y = seen_through(H, rows[::50], noise_std)
    mixture = components_of(model)
    rho, means, covariances, _ = conditioned(mixture, H, noise_std, y)
    mean, std = model.restore(y, H, noise_std, return_std=True, exact=True)
    expected = np.einsum("nm,mnd->nd", rho, means)
    second = np.einsum("nm,mnd->nd", rho, means**2 + np.diagonal(covariances, axis1=1, axis2=2)[:, None])
    assert_allclose(mean, expected, rtol=1e-6, atol=1e-6)
    assert_allclose(std**2, second - expected**2, rtol=1e-5, atol=1e-6)
    own = mixture[3] == 1
    rho = rho[:, own] / rho[:, own].sum(axis=1, keepdims=True)
    prompted = model.restore(y, H, noise_std, prompts=1, exact=True)
    assert_allclose(prompted, np.einsum("nm,mnd->nd", rho, means[own]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["wide", "mask", None])
@pytest.mark.parametrize("noise_std", [0.0, 0.4])
def test_samples_have_the_posteriors_mean_and_covariance(curved, components_of, conditioned, name, noise_std):
    if name is None and noise_std == 0.0:
        pytest.skip("nothing is unknown")
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=2).fit(rows, labels)
    H = np.eye(5) if name is None else OPERATORS[name]
    y = seen_through(H, rows[[10, 300]], noise_std)
    rho, means, covariances, _ = conditioned(components_of(model), H, noise_std, y)
    drawn = model.restore(y, None if name is None else H, noise_std, n_samples=20_000, exact=True, random_state=0)
    assert drawn.shape == (2, 20_000, 5)
    for i in range(2):
        mean = rho[i] @ means[:, i]
        away = means[:, i] - mean
        covariance = np.einsum("m,mde->de", rho[i], covariances + away[:, :, None] * away[:, None])
        tolerance = 4 * np.sqrt(np.trace(covariance) / 20_000)
        assert_allclose(drawn[i].mean(axis=0), mean, atol=tolerance)
        assert_allclose(np.cov(drawn[i].T), covariance, atol=0.05 * np.abs(covariance).max())
    assert_array_equal(
        model.restore(y, H, noise_std, n_samples=3, random_state=0)[1:],
        model.restore(y, H, noise_std, n_samples=3, random_state=0)[1:],
    )


def test_posterior_is_what_rejection_sampling_leaves(curved, components_of):
    """Images drawn from the mixture, of which those are kept that look like what was seen."""
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=4).fit(rows, labels)
    weights, means, covariances, _ = components_of(model)
    rng, H, y = np.random.default_rng(0), np.array([[1.0, 1.0, 0.0, 0.0, 0.0]]), np.array([[2.0]])
    counts = rng.multinomial(1_000_000, weights)
    parts = zip(means, covariances, counts, strict=True)
    drawn = np.concatenate([rng.multivariate_normal(m, S, n) for m, S, n in parts])
    seen = drawn @ H[0] + 0.2 * rng.standard_normal(len(drawn))
    kept = drawn[np.abs(seen - 2.0) < 0.02]
    mean, std = model.restore(y, H, 0.2, return_std=True, exact=True)
    assert len(kept) > 3000
    assert_allclose(kept.mean(axis=0), mean[0], atol=4 * std.max() / np.sqrt(len(kept)))
    assert_allclose(kept.std(axis=0), std[0], rtol=0.06)


@pytest.mark.parametrize("styles", [1, 4])
@pytest.mark.parametrize("standardize", [True, False])
def test_tweedies_route_is_the_operators_route_for_the_identity(curved, styles, standardize):
    """y + noise_std^2 grad log p(y), its gradient by differences of the density of noisy images."""
    rows, labels = curved
    model = LinearDiffusion(styles=styles, latent_dim=3, standardize=standardize).fit(rows, labels)
    noisy = seen_through(np.eye(5), rows[::40], 0.5)
    h = 1e-5

    def log_density(x):
        return logsumexp(
            log_densities(Densities(model.encoder_, model.prior_).all(), x, 0.5) + np.log(model.weights_), axis=1
        )

    gradient = np.stack([(log_density(noisy + s) - log_density(noisy - s)) / (2 * h) for s in h * np.eye(5)], axis=1)
    found = model.denoise(noisy, 0.5, exact=True)
    assert_allclose(found, noisy + 0.25 * gradient, atol=1e-6)
    assert_allclose(found, model.restore(noisy, np.eye(5), 0.5, exact=True), rtol=1e-7, atol=1e-7)
    mean, std = model.restore(noisy, None, 0.5, return_std=True, exact=True)
    assert_allclose(mean, found, rtol=1e-9)
    assert_allclose(std, model.restore(noisy, np.eye(5), 0.5, return_std=True, exact=True)[1], rtol=1e-6)


HOLE = np.zeros((8, 8), bool)
HOLE[2:6, 3:6] = True


@pytest.mark.parametrize("latent_dim", [20, 64])
@pytest.mark.parametrize("styles", [1, 5])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("operator", [operators.inpaint(HOLE), operators.downsample(2)], ids=["mask", "blocks"])
def test_rows_that_share_no_pixel_and_any_rows_are_two_routes(digits, latent_dim, styles, standardize, operator):
    """Turning what was seen leaves it the same, and noise alike, but hides that it is pixels or blocks of them."""
    images, y = digits
    model = LinearDiffusion(styles=styles, latent_dim=latent_dim, standardize=standardize).fit(images[50:], y[50:])
    [seen] = operators.observe(operator, operator(images[:50]), (8, 8))
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((seen.y.shape[1], seen.y.shape[1])))[0]
    turned = turn @ seen.matrix.toarray()
    for options in ({"exact": True}, {"noise_std": 0.2, "exact": True}, {"noise_std": 0.2}):
        known = model.restore(operator(images[:50]), operator, **options, return_std=True)
        general = model.restore(seen.y @ turn.T, turned, **options, return_std=True)
        for found, expected in zip(known, general, strict=True):
            assert_allclose(found.reshape(50, 64), expected, atol=5e-6)


def test_observed_pixels_stay_and_missing_ones_are_not_looked_at(digits):
    images, y = digits
    model = LinearDiffusion(styles=5, latent_dim=20).fit(images[100:], y[100:])
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    torn = np.where(mask, np.nan, images[:100])
    restored = model.restore(torn, operators.inpaint(mask))
    assert_array_equal(restored[:, ~mask], images[:100, ~mask])
    assert_array_equal(restored, model.restore(images[:100], operators.inpaint(mask)))
    assert_allclose(model.restore(torn.reshape(100, 64), operators.inpaint(mask)), restored.reshape(100, 64))
    draws = model.restore(torn, operators.inpaint(mask), n_samples=2, random_state=0)
    assert_array_equal(draws[:, 1][:, ~mask], images[:100, ~mask])
    middle = (restored - images[:100])[:, mask]
    away = (images[100:].mean(axis=0) - images[:100])[:, mask]
    assert (middle**2).mean() < 0.6 * (away**2).mean()


def test_a_grey_mask_of_coloured_images_is_the_same_in_every_channel():
    rng = np.random.default_rng(4)
    X, mask = rng.random((300, 5, 4, 3)) ** 2, rng.random((5, 4)) < 0.4
    model = LinearDiffusion(styles=3, latent_dim=20, random_state=0).fit(X, np.arange(300) % 2)
    coloured = np.repeat(mask[..., None], 3, axis=-1)
    grey, whole = (model.restore(X[:9], operators.inpaint(m), return_std=True) for m in (mask, coloured))
    for one, other in zip(grey, whole, strict=True):
        assert_allclose(one, other, atol=1e-9)
    assert_array_equal(grey[0][:, ~mask], X[:9][:, ~mask])


def test_a_mask_an_image_is_each_image_by_itself(digits):
    images, y = digits
    model = LinearDiffusion(styles=5, latent_dim=20).fit(images[100:], y[100:])
    masks = np.random.default_rng(0).random((6, 8, 8)) < 0.4
    masks[3:] = masks[:3]
    together, std = model.restore(images[:6], operators.inpaint(masks), return_std=True)
    drawn = model.restore(images[:6], operators.inpaint(masks), n_samples=2, random_state=1)
    for i in range(6):
        alone, alone_std = model.restore(images[i : i + 1], operators.inpaint(masks[i]), return_std=True)
        assert_allclose(together[i], alone[0], atol=1e-8)
        assert_allclose(std[i], alone_std[0], atol=1e-8)
    first = model.restore(images[:1], operators.inpaint(masks[:1]), n_samples=2, random_state=1)
    assert_allclose(drawn[0], first[0], atol=1e-8)


def test_repeated_rows_say_nothing_new(curved):
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=3).fit(rows, labels)
    H = np.random.default_rng(0).standard_normal((2, 5))
    again = np.vstack([H, H, H[0] + H[1], np.zeros(5)])
    y = rows[:10] @ H.T
    repeated = model.restore(rows[:10] @ again.T, again)
    assert_allclose(repeated, model.restore(y, H), atol=1e-6)
    assert_allclose(repeated @ H.T, y, atol=1e-8)


def test_nothing_seen_leaves_the_mean_of_all_images(curved):
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=3).fit(rows, labels)
    nothing = operators.inpaint(np.ones(5, bool))
    assert_allclose(model.restore(np.full((2, 5), np.nan), nothing), [rows.mean(axis=0)] * 2, atol=1e-6)


def test_all_kinds_of_matrices_are_one_operator(curved):
    rows, labels = curved
    model, H = LinearDiffusion(styles=4, latent_dim=3).fit(rows, labels), OPERATORS["wide"]
    y = seen_through(H, rows[:5], 0.3)
    dense = model.restore(y, H, 0.3)
    assert_allclose(model.restore(y, sparse.csr_matrix(H), 0.3), dense, atol=1e-12)
    assert_allclose(model.restore(y, sparse.coo_array(H), 0.3), dense, atol=1e-12)
    assert_allclose(model.restore(y, aslinearoperator(H), 0.3), dense, atol=1e-12)
    assert_allclose(model.restore(y, H.tolist(), 0.3), dense, atol=1e-12)


def test_noise_is_estimated_to_three_percent(digits):
    """What comes out is nearer to what the true level makes of it than what a level 3 % off does; blurred, 10 %."""
    images, y = digits
    model = LinearDiffusion(styles=5, latent_dim=30).fit(images[200:], y[200:])
    noise, blur = np.random.default_rng(0).standard_normal((200, 8, 8)), operators.blur(0.7)
    for operator, level, off in ((None, 0.3, 0.01), (blur, 0.1, 0.01)):
        noisy = (images[:200] if operator is None else operator(images[:200])) + level * noise
        blind, exact, less, more = (
            model.restore(noisy, operator, std) for std in (None, level, level - off, level + off)
        )
        away = np.abs(blind - exact).mean()
        assert away < min(np.abs(less - exact).mean(), np.abs(more - exact).mean())


@pytest.mark.parametrize(("styles", "n_images"), [(1, 1500), (20, 1500), (20, 300), (20, 150), (1, 150)])
def test_denoising_does_no_harm(digits, styles, n_images):
    """Held-out images: clean ones stay as they are, and little noise is not made more, be its level known or not."""
    images, y = digits[0] * 255, digits[1]
    model = LinearDiffusion(styles=styles, random_state=0).fit(images[:n_images], y[:n_images])
    truth = images[1500:]
    noise = np.random.default_rng(0).standard_normal(truth.shape)
    for level in (0, 2, 5, 10, 20):
        for noise_std in (None, level):
            found = model.denoise(truth + level * noise, noise_std)
            assert np.sqrt(((found - truth) ** 2).mean()) < max(1.05 * level, 3)


def test_rounding_is_known(grey):
    """Whole numbers behind a blur; where pixels are selected there is nothing to know."""
    images, y = grey
    model = LinearDiffusion(styles=5, latent_dim=40).fit(images[100:], y[100:])
    truth, blur = images[:100].astype(float), operators.blur(1.2)
    blurred = blur(images[:100])
    found = model.restore(blurred, blur)
    assert_array_equal(found, model.restore(blurred, blur, operators.ROUNDING))
    assert_array_equal(found, model.restore(blurred.astype(np.int32), blur).round())
    assert ((found - truth) ** 2).mean() < 0.5 * ((blurred - truth) ** 2).mean()
    rows, kept = np.eye(64)[::2], np.arange(0, 64, 2)
    for matrix in (rows, sparse.csr_array(rows)):
        selected = model.restore(truth.reshape(100, 64)[:, kept].astype(np.uint8), matrix)
        assert_array_equal(selected[:, kept], images[:100].reshape(100, 64)[:, kept])


def test_floats_with_more_noise_than_was_said_are_told_how_much(digits):
    images, y = digits
    model = LinearDiffusion(styles=5, latent_dim=40).fit(images[100:], y[100:])
    blur = operators.blur(1.5)
    exact = blur(images[:100])
    rounded = np.rint(exact * 255) / 255
    with pytest.warns(UserWarning, match="Y has more noise than 0; noise_std=") as caught:
        found = model.restore(rounded, blur)
    assert caught[0].filename == __file__
    assert found.min() >= 0
    assert found.max() <= 1
    advised = float(str(caught[0].message).split("noise_std=")[1].split()[0])
    assert 0.5 < advised / (operators.ROUNDING / 255) < 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        better = model.restore(rounded, blur, advised)
        for dtype in (np.float32, np.float64):  # whose own rounding is known
            assert np.abs(model.restore(exact.astype(dtype), blur) - images[:100]).mean() < 0.05
    assert ((better - images[:100]) ** 2).mean() < 0.5 * ((found - images[:100]) ** 2).mean()


@pytest.mark.parametrize("operator", [operators.blur(1.0), operators.downsample(2), operators.grayscale()])
def test_colours_are_restored_as_bytes(digits, operator):
    """Grey digits, each in a colour of its own."""
    colours = np.random.default_rng(0).choice([0.3, 0.6, 1.0], (1797, 1, 1, 3))
    images = np.rint(255 * digits[0][..., None] * colours).astype(np.uint8)
    model = LinearDiffusion(latent_dim=40, styles=5).fit(images[50:], digits[1][50:])
    restored = model.restore(operator(images[:50]), operator, 12**-0.5)
    assert restored.dtype == np.uint8
    assert restored.shape == (50, 8, 8, 3)
    error, away = ((np.float64(z) - images[:50]) ** 2 for z in (restored, images[50:].mean(axis=0)))
    assert error.mean() < 0.5 * away.mean()


def test_single_precision_comes_back_as_it_was(digits):
    images, y = digits
    X = images.astype(np.float32)
    model = LinearDiffusion(styles=5, latent_dim=20).fit(X[100:], y[100:])
    mask = np.eye(8, dtype=bool)
    restored = model.restore(X[:9], operators.inpaint(mask))
    assert restored.dtype == model.denoise(X[:9], 0.1).dtype == np.float32
    exact = model.restore(X[:9].astype(float), operators.inpaint(mask))
    assert exact.dtype == np.float64
    assert_allclose(restored, exact, atol=1e-3)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("noise_std", [0.0, 0.1])
@pytest.mark.parametrize("name", ["wide", "mask", "blocks"])
def test_by_default_pieces_are_tempered_and_images_have_noise_of_their_own(
    curved, components_of, conditioned, name, noise_std, standardize
):
    """The same by brute force: covariances are wider by the noise, and what was seen counts less for the weights."""
    rows, labels = curved
    model, H = LinearDiffusion(styles=4, latent_dim=2, standardize=standardize).fit(rows, labels), OPERATORS[name]
    y = seen_through(H, rows[::50], noise_std)
    encoder = model.encoder_
    noise = UNMODELLED * encoder.variances.mean() - noise_std**2 / (encoder.std**2).mean()
    assert noise > 0
    shares, means, covariances, owner = components_of(model)
    rho, conditional, _, _ = conditioned(
        (shares, means, covariances + noise * np.diag(encoder.std**2), owner), H, noise_std, y
    )
    rho = shares * (rho / shares) ** TEMPERATURE
    rho /= rho.sum(axis=1, keepdims=True)
    found = model.restore(y, H, noise_std)
    assert_allclose(found, np.einsum("nm,mnd->nd", rho, conditional), rtol=1e-4, atol=1e-4)
    drawn = model.restore(y[:3], H, noise_std, n_samples=4000, random_state=0)
    if noise_std == 0.0:
        assert_allclose(drawn @ H.T, np.broadcast_to(y[:3, None], (3, 4000, len(H))), atol=1e-7)
        if not standardize:  # what was seen of the noise is put back; elsewhere it is spread over other pixels
            away = np.abs(drawn.mean(axis=1) - found[:3]) / (drawn.std(axis=1) / np.sqrt(4000) + 1e-6)
            assert np.median(away) < 2
    exact = model.restore(y[:3], H, noise_std, n_samples=4000, random_state=0, exact=True)
    assert not np.allclose(drawn, exact)


def test_without_styles_the_default_is_exact(curved):
    rows, labels = curved
    model, H = LinearDiffusion(styles=1, latent_dim=3).fit(rows, labels), OPERATORS["mask"]
    y = rows[:50] @ H.T
    for options in ({"return_std": True}, {"n_samples": 3, "random_state": 0}):
        assert_array_equal(model.restore(y, H, **options), model.restore(y, H, exact=True, **options))
    assert_array_equal(model.denoise(rows, 0.3), model.denoise(rows, 0.3, exact=True))


def test_whole_images_with_noise_are_tempered_and_have_a_share_of_all_variance_beside(curved):
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=3).fit(rows, labels)
    y = seen_through(np.eye(5), rows[:50], 0.5)
    prompts = Densities(model.encoder_, model.prior_).all()
    beside = unseen(population(prompts, model.weights_), model.n_images_)
    counts = model.n_images_ * model.weights_
    prompts = [p.widened(max(POPULATION, 20 / n)).with_noise(beside) for p, n in zip(prompts, counts, strict=True)]
    seen = operators.Observation(np.arange(50), None, y)
    posterior = Posterior(prompts, model.weights_, seen, 0.5, temperature=TEMPERATURE)
    assert_array_equal(model.denoise(y, 0.5), posterior.mean())
    assert np.abs(model.denoise(y, 0.5) - model.denoise(y, 0.5, exact=True)).max() > 0.01


def never(*_):
    raise RuntimeError("work was done")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, X: m.restore(X, np.ones((3, 7))),
            r"shape \(3, 7\); on images of shape \(8, 8\) it takes 64",
        ),
        (lambda m, X: m.restore(X, np.ones((3, 7)).tolist()), r"shape \(3, 7\); on images"),
        (lambda m, X: m.restore(X, aslinearoperator(np.ones((3, 7)))), r"shape \(3, 7\); on images"),
        (lambda m, X: m.restore(X, np.full((64, 64), np.nan)), "the operator holds NaN"),
        (
            lambda m, X: m.restore(X, sparse.csr_array(np.full((64, 64), np.nan))),
            "the operator holds NaN",
        ),
        (
            lambda m, X: m.restore(X, sparse.dia_array(np.diag(np.full(64, np.inf)))),
            "the operator holds NaN or infinity",
        ),
        (lambda m, X: m.restore(X, aslinearoperator(np.full((64, 64), np.nan))), "the operator holds NaN"),
        (lambda m, X: m.restore(X, sparse.lil_array(1e300 * np.eye(64))), "the operator's largest number is 1e[+]300"),
        (lambda m, X: m.restore(X, 1e-300 * np.eye(64)), "divide it and Y by the same number"),
        (lambda m, X: m.restore(X, operators.blur(np.full((3, 3), 1e300))), "the blur's largest number is"),
        (lambda m, X: m.restore(X, 1j * np.eye(64)), "no matrix of real numbers"),
        (lambda m, X: m.restore(X * 1e200, None), "too far from those that the model was fitted on"),
        (lambda m, X: m.restore(X, np.ones((3, 64))), r"Y has images of shape \(8, 8\); operator leaves \(3,\)"),
        (lambda m, X: m.restore(X, np.ones(64)), r"is no matrix \(m, d\)"),
        (lambda m, X: m.restore(X, operators.inpaint(np.ones((7, 8), bool))), r"the mask has shape \(7, 8\)"),
        (lambda m, X: m.restore(X, operators.inpaint(np.ones((3, 8, 8), bool))), r"the mask has shape \(3, 8, 8\)"),
        (lambda m, X: m.restore(X * np.nan, operators.inpaint(np.eye(8, dtype=bool))), "NaN or infinity"),
        (lambda m, X: m.restore(X * np.nan, None), "NaN or infinity"),
        (lambda m, X: m.restore(X, operators.downsample(3)), "8 is no multiple of 3"),
        (lambda m, X: m.restore(X, operators.grayscale()), "takes images of 3 channels"),
        (lambda m, X: m.restore(X[0], None), r"Y has images of shape \(8,\)"),
        (lambda m, X: m.restore(X, None, -1.0), "noise_std=-1.0 must be a number from 0"),
        (lambda m, X: m.denoise(X, -1.0), "noise_std=-1.0 must be a number from 0"),
        (lambda m, X: m.denoise(X, np.nan), "noise_std=nan"),
        (lambda m, X: m.restore(X, None, 0.1, []), "prompts is empty"),
        (lambda m, X: m.denoise(X, 0.1, []), "prompts is empty"),
        (lambda m, X: m.restore(X, None, 0.1, ["none"]), "none"),
        (lambda m, X: m.restore(X, None, 0.1, n_samples=0), "n_samples=0 must be a whole number"),
        (lambda m, X: m.restore(X, None, 0.1, n_samples=2, return_std=True), "choose one"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(model, grey, monkeypatch, call, message):
    monkeypatch.setattr("linear_diffusion.tasks.restore.Posterior", never)
    with pytest.raises(ValueError, match=message):
        call(model, grey[0][:4].astype(float))


def test_what_would_not_fit_is_refused_with_advice(model):
    huge = sparse.coo_array(([1.0], ([0], [0])), shape=(10**6, 64))
    with pytest.raises(NotEnoughMemoryError, match=r"under 10 prompts needs about .* GB"):
        model.restore(np.zeros((1, 10**6)), huge, 0.1)
