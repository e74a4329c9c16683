"""Small models with styles, and their densities written out as mixtures of whole Gaussians."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal

from linear_diffusion import LinearDiffusion

Mixture = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
RNG = np.random.default_rng(3)
CURVE = RNG.uniform(-2, 2, (400, 1))
ROWS = np.hstack([CURVE, CURVE**2, np.sin(2 * CURVE), 0.5 * CURVE, np.cos(CURVE)]) + 0.2 * RNG.standard_normal((400, 5))
LABELS = np.repeat([0, 1], [240, 160])
ROWS[LABELS == 1] += [2.0, -1.0, 0.0, 1.0, 0.5]


@pytest.fixture(scope="session")
def curved() -> tuple[np.ndarray, np.ndarray]:
    """400 rows of 5 numbers about two curves, and which curve: what no one Gaussian describes."""
    return ROWS, LABELS


@pytest.fixture(scope="session")
def components_of() -> Callable[..., Mixture]:
    """``model -> weights (m,), means (m, d), covariances (m, d, d), prompts (m,)`` of pixels, from learned numbers."""

    def written_out(model: LinearDiffusion) -> Mixture:
        encoder, prior, found = model.encoder_, model.prior_, []
        V, std, scale = encoder.components, encoder.std, encoder.scale
        k, d = V.shape
        for c, weight in enumerate(model.weights_):
            rest = prior.residual[c] / max(d - k, 1) * (np.eye(d) - V.T @ V)
            law = prior.law(c)
            Q, D = law.basis, np.diag(law.variances)
            for share, mean, F in zip(law.shares, law.means, law.factors.astype(float), strict=True):
                inside = V.T @ Q @ (D + F @ F.T) @ Q.T @ V / scale**2
                pixel_mean = encoder.mean + std * (mean @ V / scale)
                found.append((weight * share, pixel_mean, std[:, None] * (inside + rest) * std, c))
        return tuple(np.array(column) for column in zip(*found, strict=True))

    return written_out


@pytest.fixture(scope="session")
def conditioned() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Condition a mixture of Gaussians on ``y = H x + noise``, each component by solving: brute force.

    Returns responsibilities (n, m), means (m, n, d), covariances (m, d, d) and log p(y) (n,).
    """

    def condition(mixture: Mixture, H: np.ndarray, noise_std: float, y: np.ndarray) -> tuple:
        weights, means, covariances, _ = mixture
        log_joint, posterior_means, posterior_covariances = [], [], []
        for w, m, S in zip(weights, means, covariances, strict=True):
            B = H @ S @ H.T + noise_std**2 * np.eye(len(H))
            gain = np.linalg.solve(B, H @ S).T
            log_joint.append(np.log(w) + multivariate_normal(H @ m, B).logpdf(y).reshape(len(y)))
            posterior_means.append(m + (y - H @ m) @ gain.T)
            posterior_covariances.append(S - gain @ H @ S)
        joint = np.stack(log_joint, axis=1)
        log_y = np.logaddexp.reduce(joint, axis=1)
        return softmax(joint, axis=1), np.array(posterior_means), np.array(posterior_covariances), log_y

    return condition
