"""What several test files share: small data, small models, and the formulas that they are held against."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.denoiser.prior import ClassPrior
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.fit.clusters import find_centres
from linear_diffusion.fit.source import ArraySource, Latents
from linear_diffusion.fit.styles import Styles, fit_styles
from linear_diffusion.image.format import ImageFormat

settings.register_profile(
    "quick", deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 images (8, 8), float64 in [0, 1], and their labels 0..9."""
    data = load_digits()
    return data.images / 16, data.target


@pytest.fixture(scope="session")
def grey(digits: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The digits as uint8."""
    images, target = digits
    return np.rint(images * 255).astype(np.uint8), target


@pytest.fixture(scope="session")
def rgb() -> np.ndarray:
    """200 uint8 images (6, 5, 3) whose channels are distributed differently."""
    rng = np.random.default_rng(5)
    common = rng.standard_normal((200, 6, 5, 1))
    x = np.array([40.0, 120.0, 230.0]) + np.array([60.0, 20.0, 90.0]) * (
        common + 0.5 * rng.standard_normal((200, 6, 5, 3))
    )
    return np.clip(x, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def model(grey: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """One Gaussian per prompt, fitted on grey digits; read only."""
    return LinearDiffusion(styles=1, latent_dim=12, random_state=0).fit(*grey)


@pytest.fixture(scope="session")
def styled_model(grey: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """The same digits with styles; read only."""
    return LinearDiffusion(latent_dim=30, random_state=0).fit(*grey)


@pytest.fixture(scope="session")
def sampled_model(grey: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """The same with drawn noise; read only."""
    return LinearDiffusion(latent_dim=12, training="sampled", n_draws=2, random_state=0).fit(*grey)


def random_covariances(p: int, k: int, seed: int) -> np.ndarray:
    """Well conditioned covariances (p, k, k) that do not share eigenvectors."""
    root = np.random.default_rng(seed).standard_normal((p, k, 2 * k)) * np.geomspace(2.0, 0.2, k)[:, None]
    return root @ root.swapaxes(1, 2) / (2 * k)


@pytest.fixture(scope="session")
def gaussians() -> tuple[np.ndarray, np.ndarray]:
    """Means (3, 4) and covariances (3, 4, 4) of three prompts; the last one has no variance in one direction."""
    covariances = random_covariances(3, 4, seed=1)
    values, basis = np.linalg.eigh(covariances[2])
    covariances[2] = (basis * np.r_[0.0, values[1:]]) @ basis.T
    return 2 * np.random.default_rng(2).standard_normal((3, 4)), covariances


@pytest.fixture(scope="session")
def prior(gaussians: tuple[np.ndarray, np.ndarray]) -> list[GaussianDenoiser]:
    """The exact denoisers of `gaussians`."""
    return [GaussianDenoiser.from_covariance(*own) for own in zip(*gaussians, strict=True)]


@pytest.fixture(scope="session")
def regression() -> list[RegressionDenoiser]:
    """What 300 drawn pairs of latent and noise gave, for each of three prompts: the two correlate a little."""
    rng = np.random.default_rng(3)
    roots = np.linalg.cholesky(random_covariances(3, 4, seed=4))
    z = rng.standard_normal((3, 300, 4)) @ roots.swapaxes(1, 2) + rng.standard_normal((3, 1, 4))
    both = np.concatenate([z, rng.standard_normal((3, 300, 4))], axis=2)
    return [RegressionDenoiser(own.mean(axis=0), np.cov(own.T, bias=True)) for own in both]


@pytest.fixture(scope="session")
def wiener() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``(mean, covariance, level) -> matrix, shift`` of z0_hat, by solving, with no eigenvectors."""

    def z0_hat(mean: np.ndarray, covariance: np.ndarray, level: Any) -> tuple[np.ndarray, np.ndarray]:
        alpha, sigma = level
        noisy = alpha**2 * covariance + sigma**2 * np.eye(len(mean))
        gain = np.linalg.solve(noisy, alpha * covariance).T
        return gain, mean - gain @ (alpha * mean)

    return z0_hat


@pytest.fixture(scope="session")
def bilinear_weights() -> Callable[..., np.ndarray]:
    """``(phi, k, level) -> W_t`` of the article's regression, ``eps_hat = W_t' phi_t`` (docs/mathematics.md).

    Features ``phi = (1, c) (x) (1, z)`` are of clean images, shape (n, q (k + 1)). The normal equations
    ``A_t W_t = B_t`` are solved with the pseudo-inverse, since an intercept beside a one-hot code is singular.
    """

    def solve(phi: np.ndarray, k: int, level: Any) -> np.ndarray:
        (alpha, sigma), moment = level, phi.T @ phi / len(phi)
        prompt_moment = moment[:: k + 1, :: k + 1]  # E[1c 1c'], (q, q)
        damp = np.tile(np.r_[1.0, np.full(k, alpha)], len(prompt_moment))
        on_z, pick_z = np.diag(np.r_[0.0, np.ones(k)]), np.vstack([np.zeros(k), np.eye(k)])
        a_t = damp[:, None] * moment * damp + sigma**2 * np.kron(prompt_moment, on_z)
        b_t = sigma * np.kron(prompt_moment[:, :1], pick_z)  # E[1c] is the column of the intercept
        return np.linalg.pinv(a_t, hermitian=True) @ b_t

    return solve


@pytest.fixture(scope="session")
def order_of() -> Callable[[Any, Any], float]:
    """``(sizes, errors) -> slope`` of log error against log size."""
    return lambda sizes, errors: float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])


@pytest.fixture(scope="session")
def same_priors() -> Callable[[ClassPrior, ClassPrior], None]:
    """A check that all that two priors keep is the same, to the last bit and the dtype."""

    def check(found: ClassPrior, expected: ClassPrior) -> None:
        for field in fields(ClassPrior):
            if field.name != "text":
                mine, theirs = getattr(found, field.name), getattr(expected, field.name)
                np.testing.assert_array_equal(mine, theirs)
                assert mine is None or mine.dtype == theirs.dtype

    return check


@pytest.fixture(scope="session")
def source_of() -> Callable[..., tuple[ArraySource, Latents]]:
    """``(latents (n, k), prompts (n,)) -> source, latents`` of images that are their own latents."""

    def make(z: np.ndarray, index: np.ndarray) -> tuple[ArraySource, Latents]:
        k, classes = z.shape[1], np.arange(int(np.max(index)) + 1)
        return ArraySource(z, index, classes, ImageFormat.of(z, None)), Latents(np.eye(k), np.zeros(k), z.dtype)

    return make


@pytest.fixture(scope="session")
def styles_of(source_of: Callable[..., Any]) -> Callable[..., tuple[Styles, np.ndarray]]:
    """``(latents (n, k), styles, prompts (n,)) -> what is learned of styles, the style of each image``. There is one
    prompt where none are given, and each is a family by itself where none are."""

    def fit(
        z: np.ndarray, n_styles: int, index: Any = None, *, floor: float = 1e-9, ridge: float = 0.0, family: Any = None
    ) -> tuple[Styles, np.ndarray]:
        index = np.zeros(len(z), np.intp) if index is None else index
        source, latents = source_of(z, index)
        family = np.arange(len(source.classes)) if family is None else family
        labels, curves = find_centres(source, latents, family, n_styles, 0)
        found = fit_styles(source, latents, family, n_styles, floor, ridge)
        np.testing.assert_array_equal(found.curves, curves)
        np.testing.assert_array_equal(found.owner, labels.owner)
        return found, labels(z, index)

    return fit
