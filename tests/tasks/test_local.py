import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from linear_diffusion import LinearDiffusion, operators
from linear_diffusion.image.pca import noise_floor
from linear_diffusion.tasks.density import Densities
from linear_diffusion.tasks.local import EVIDENCE, N_NEAR, POPULATION
from linear_diffusion.tasks.mixture import UNMODELLED

Digits = tuple[np.ndarray, np.ndarray]
MASK = np.zeros((8, 8), bool)
MASK[3:6, 2:6] = True


def brute_force(model: LinearDiffusion, images: np.ndarray) -> np.ndarray:
    """Means by dense matrices: components merged by their moments, and one Gaussian of pixels conditioned on some."""
    prompts, weights, seen = Densities(model.encoder_, model.prior_).all(), model.weights_, ~MASK.ravel()
    encoder = prompts[0].encoder
    U, D = encoder.components, np.diag(np.sqrt(encoder.variances))
    tau2 = weights @ [prompt.tau2 for prompt in prompts]
    white = np.eye(64) * (tau2 + UNMODELLED * encoder.variances.mean())
    beside = white + U.T @ U * (noise_floor(encoder) - tau2)
    shared = [(p.basis * p.variances) @ p.basis.T + POPULATION * np.diag(encoder.variances) for p in prompts]
    owner = np.repeat(np.arange(len(prompts)), [len(p.shares) for p in prompts])
    means = np.concatenate([p.means @ p.basis.T for p in prompts])
    own = np.concatenate([[p.basis @ f @ f.T @ p.basis.T for f in p.factors] for p in prompts])
    weighing = own + np.tensordot(weights, shared, 1)
    shares = np.concatenate([w * p.shares for w, p in zip(weights, prompts, strict=True)])

    A = U.T[seen]
    information = D @ A.T @ np.linalg.solve(beside[np.ix_(seen, seen)], A) @ D
    values = np.linalg.eigvalsh(information)
    temperature = min(EVIDENCE / (values / (1 + values)).sum(), 1.0)
    y = (images.reshape(-1, 64)[:, seen] - encoder.mean[seen]) / encoder.std[seen]
    out = []
    for one in y:
        log_density = [
            multivariate_normal(A @ m, A @ C @ A.T + beside[np.ix_(seen, seen)]).logpdf(one)
            for m, C in zip(means, weighing, strict=True)
        ]
        log_rho = temperature * np.array(log_density) + np.log(shares)
        near = np.argsort(log_rho)[-N_NEAR:]
        rho = np.exp(log_rho[near] - log_rho[near].max())
        rho /= rho.sum()
        m = rho @ means[near]
        apart = means[near] - m
        C = np.tensordot(rho, own[near] + np.array(shared)[owner[near]], 1) + (apart.T * rho) @ apart
        pixels = U.T @ C @ U + beside
        solved = np.linalg.solve(pixels[np.ix_(seen, seen)], one - A @ m)
        out.append(U.T @ m + pixels[:, seen] @ solved)
    return (np.array(out) * encoder.std + encoder.mean).reshape(images.shape).clip(0, 1)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("latent_dim", [20, 60])
def test_means_are_those_of_the_merged_gaussian(digits: Digits, standardize: bool, latent_dim: int) -> None:
    images, y = digits
    model = LinearDiffusion(styles=12, latent_dim=latent_dim, standardize=standardize, random_state=0)
    model.fit(images[100:], y[100:])
    operator = operators.inpaint(MASK)
    restored = model.restore(images[:12], operator)
    assert_allclose(restored, brute_force(model, images[:12]), rtol=1e-6, atol=1e-6)
    assert_allclose(restored, model.restore(images[:12], operator, return_std=True)[0], rtol=1e-10)


def test_neighbours_regression_comes_closer_than_the_best_piece_and_seen_pixels_stay(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=12, latent_dim=40, random_state=0).fit(images[400:], y[400:])
    torn, operator = np.where(MASK, 0.0, images[:400]), operators.inpaint(MASK)
    near, exact = model.restore(torn, operator), model.restore(torn, operator, exact=True)
    assert ((near - images[:400]) ** 2).mean() < 0.95 * ((exact - images[:400]) ** 2).mean()
    assert np.all(near[:, ~MASK] == images[:400, ~MASK])


def test_an_image_is_restored_alike_alone_and_among_others(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=12, latent_dim=40, random_state=0).fit(images[400:], y[400:])
    torn, operator = np.where(MASK, 0.0, images[:200]), operators.inpaint(MASK)
    together = model.restore(torn, operator)
    assert_allclose(model.restore(torn[130:131], operator)[0], together[130], rtol=1e-9, atol=1e-9)
